"""Reproducibility: whether training again with recorded data and parameters gave the same metrics."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.verdict import Finding, Outcome, Severity, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mlops.core.data.window import Window

_GATE = "replay"


def require_tolerance(tolerance: float) -> float:
    """Return a tolerance.

    :raises InvalidConfigError: not a number, negative or infinite.
    """
    if not (math.isfinite(tolerance) and tolerance >= 0):
        msg = f"replay: tolerance {tolerance}, allowed: a number from 0"
        raise InvalidConfigError(msg)
    return tolerance


def same_data(recorded: Window, now: Window) -> Finding:
    """Compare digests of the data; if they differ, what is measured on it now is inconclusive."""
    known = bool(recorded.digest) and recorded.digest == now.digest
    was, found = recorded.digest or "none", now.digest or "none"
    reason = f"{recorded.uri} {recorded.label}: digest {found}, recorded {was}"
    if not known and recorded.digest:
        reason += "; written again since the version was trained"
    return Finding(
        check="data_digest",
        subject=recorded.uri,
        outcome=Outcome.PASS if known else Outcome.INCONCLUSIVE,
        reason=reason,
        observed=now.digest,
        allowed=recorded.digest,
    )


def same_metrics(recorded: Mapping[str, float], now: Mapping[str, float], tolerance: float) -> list[Finding]:
    """Compare each recorded metric within ``tolerance`` times its absolute value, at least ``tolerance``.

    A metric that was not measured again is inconclusive, and so is a version without recorded metrics.
    """
    if not recorded:
        reason = "no metric was recorded when the version was trained"
        return [_finding("none", Outcome.INCONCLUSIVE, reason)]
    return [_compared(name, value, now.get(name), tolerance) for name, value in recorded.items()]


def same_software(recorded: Mapping[str, str], now: Mapping[str, str]) -> list[Finding]:
    """Warn of packages and commits that differ: they may explain a different result."""
    different = sorted(n for n in recorded.keys() | now.keys() if recorded.get(n, "") != now.get(n, ""))
    return [
        Finding(
            check="software",
            subject=name,
            outcome=Outcome.WARN,
            severity=Severity.WARNING,
            reason=f"{name}: {now.get(name) or 'none'}, recorded {recorded.get(name) or 'none'}",
            observed=now.get(name),
            allowed=recorded.get(name),
        )
        for name in different
    ]


def replay_verdict(findings: list[Finding]) -> Verdict:
    """Return the verdict of a replay."""
    return Verdict.of(_GATE, findings)


def _compared(name: str, recorded: float, now: float | None, tolerance: float) -> Finding:
    if now is None or not math.isfinite(now):
        return _finding(name, Outcome.INCONCLUSIVE, f"{name}: not measured again, recorded {recorded:.6g}")
    allowed = tolerance * max(1.0, abs(recorded))
    outcome = Outcome.PASS if abs(now - recorded) <= allowed else Outcome.FAIL
    reason = f"{name}: {now:.6g}, recorded {recorded:.6g}, allowed difference {allowed:.3g}"
    return _finding(name, outcome, reason, now, recorded)


def _finding(
    name: str, outcome: Outcome, reason: str, observed: float | None = None, allowed: float | None = None
) -> Finding:
    return Finding(
        check="metric", subject=name, outcome=outcome, reason=reason, observed=observed, allowed=allowed
    )
