"""An author's own metrics and behavioural tests, as plain functions; loads no arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.verdict import Severity
from airflow_mlops.moved import names_of

__getattr__ = names_of(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnMetric:
    """A metric ``f(y_true, y_score, sample_weight) -> float``.

    It is called once per resample and segment: keep it fast, or ask for fewer resamples. The weight of a row
    says how often it was drawn; a function that does not use it gets the rows repeated, with weights of 1.

    :param function: the function, or ``module:name`` of it.
    """

    name: str
    function: Callable[..., float] | str
    greater_is_better: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCheck:
    """A behavioural test ``f(predict, rows)``: raises ``AssertionError`` or returns findings.

    :param function: the function, or ``module:name`` of it.
    :param severity: ``critical`` refuses the candidate, ``warning`` warns, ``info`` only reports.
    """

    function: Callable[..., Any] | str
    severity: Severity = Severity.CRITICAL
    name: str = ""

    def __post_init__(self) -> None:
        """Accept the severity as text, too.

        :raises InvalidConfigError: there is none of that name.
        """
        if self.severity not in tuple(Severity):
            msg = f"validate.checks: severity {self.severity!r}, allowed: {', '.join(Severity)}"
            raise InvalidConfigError(msg)
        object.__setattr__(self, "severity", Severity(self.severity))
