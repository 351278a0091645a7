"""The author's metrics and checks: every failure of theirs becomes a finding or an error that names them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.training.in_process import load_function
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.validation.metrics.base import Metric
from airflow_mlops.core.verdict import Finding, Outcome, Severity, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from airflow_mlops.core.validation.author import OwnCheck, OwnMetric
    from airflow_mlops.core.validation.metrics.base import Array

_logger = logging.getLogger(__name__)
_ALLOWED = "None, a Finding, findings or a Verdict"
_LONGEST_REASON = 600
_AT_MOST = {Severity.CRITICAL: Outcome.FAIL, Severity.WARNING: Outcome.WARN, Severity.INFO: Outcome.PASS}


def own_metric(own: OwnMetric) -> Metric:
    """Return the author's metric.

    :raises InvalidConfigError: no such function; when called: it raised, or returned no number.
    """
    function = load_function(own.function, f"validate.metrics.{own.name}")

    def called(labels: Array, scores: Array, weights: Array) -> float:
        try:
            return float(function(labels, scores, weights))
        except Exception as error:
            msg = (
                f"validate.metrics.{own.name}: {function.__module__}.{function.__qualname__} raised "
                f"{type(error).__name__}: {error}; allowed: f(y_true, y_score, sample_weight) -> float"
            )
            raise InvalidConfigError(msg) from error

    return Metric(name=own.name, sign=1 if own.greater_is_better else -1, function=called)


def run_checks(
    checks: Sequence[OwnCheck], predict: Callable[[pd.DataFrame], Array], rows: pd.DataFrame
) -> list[Finding]:
    """Call every check with a copy of the held-back rows; one that returns nothing has passed.

    :raises InvalidConfigError: a check cannot be imported.
    """
    return [finding for check in checks for finding in _findings(check, predict, rows)]


def _findings(check: OwnCheck, predict: Callable[[pd.DataFrame], Array], rows: pd.DataFrame) -> list[Finding]:
    function = load_function(check.function, "validate.checks")
    name = check.name or getattr(function, "__name__", str(check.function))
    try:
        findings = _read(function(predict, rows.copy()))
    except AssertionError as error:
        said = str(error).strip().partition("\n")[0]  # pytest adds lines of its own
        return [_finding(check, name, Outcome.FAIL, said or "its assertion failed")]
    except Exception as error:
        _logger.exception("check %s could not be carried out", name)
        return [_finding(check, name, Outcome.ERROR, f"raised {type(error).__name__}: {error}")]
    if findings is None:
        return [_finding(check, name, Outcome.PASS, "holds")]
    return [_limited(check, finding) for finding in findings]


def _read(result: Any) -> list[Finding] | None:
    """Return findings; ``True`` and ``False`` are refused: a check that returns False must not pass.

    :raises TypeError: anything else.
    """
    if result is None:
        return None
    if isinstance(result, Verdict):
        return list(result.findings)
    found = [result] if isinstance(result, Finding) else result
    if isinstance(found, list | tuple) and all(isinstance(one, Finding) for one in found):
        return list(found) or None
    msg = f"returned {type(result).__name__}, allowed: {_ALLOWED}"
    raise TypeError(msg)


def _finding(check: OwnCheck, name: str, outcome: Outcome, what: str) -> Finding:
    reason = f"check {name}: {' '.join(what.split())}"[:_LONGEST_REASON]
    found = Finding(check="behaviour", subject=name, outcome=outcome, severity=check.severity, reason=reason)
    return _limited(check, found)


def _limited(check: OwnCheck, finding: Finding) -> Finding:
    """Limit the outcome of a finding by the severity of its check."""
    order, most = list(Outcome), _AT_MOST[check.severity]
    outcome = (
        finding.outcome
        if check.severity is Severity.CRITICAL
        else min(finding.outcome, most, key=order.index)
    )
    return Finding.from_json(finding.to_json() | {"outcome": outcome, "severity": check.severity})
