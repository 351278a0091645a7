"""Rule: one Great Expectations expectation with its arguments, its severity and where it applies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.record import Record
from airflow_mlops.core.verdict import Severity

Environment = Literal["training", "serving"]
ENVIRONMENTS: tuple[Environment, ...] = get_args(Environment)
SUBJECTS = ("column", "column_A", "column_B", "column_list")
"""Arguments that name the columns a rule is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Record):
    """One expectation.

    :param type: Great Expectations' name of it, ``expect_column_values_to_not_be_null`` for instance.
    :param kwargs: its arguments.
    :param meta: free notes; ``why`` says where an inferred rule comes from, ``environments`` (a list) where
        the rule applies: ``training``, ``serving``; everywhere if absent.
    :param id: Great Expectations' own identifier, of suites that came from there.
    """

    type: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    severity: Severity = Severity.CRITICAL
    meta: dict[str, Any] = field(default_factory=dict)
    notes: str | list[str] | None = None
    description: str | None = None
    id: str | None = None

    @property
    def environments(self) -> tuple[str, ...]:
        """Where the rule applies."""
        return tuple(self.meta.get("environments", ENVIRONMENTS))

    @property
    def subject(self) -> str:
        """What the rule is about: a column, several joined by commas, or ``table``."""
        named = [self.kwargs[key] for key in SUBJECTS if self.kwargs.get(key)]
        return ",".join(str(n) if isinstance(n, str) else ",".join(map(str, n)) for n in named) or "table"

    def applies_to(self, environment: str) -> bool:
        """Say whether the rule is checked in this environment.

        :raises InvalidConfigError: no such environment.
        """
        require_environment(environment)
        return environment in self.environments


def require_environment(name: str) -> None:
    """Refuse an environment that no rule can apply to.

    :raises InvalidConfigError: lists the allowed ones.
    """
    if name not in ENVIRONMENTS:
        msg = f"environment {name!r}; one of: {', '.join(ENVIRONMENTS)}"
        raise InvalidConfigError(msg)
