"""Signs of model extraction: clients that send far more requests than others within one hour.

A heuristic: it detects one busy client, not a copy made slowly or through many clients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_mlops.core.verdict import Finding, Outcome, Severity, Verdict

if TYPE_CHECKING:
    from airflow_mlops.core.validation.metrics.base import Array
    from airflow_mlops.core.validation.security.security import ExtractionPolicy

_HOUR_SECONDS = 3600.0
_MOST_TOLD = 10


def judge_extraction(clients: np.ndarray[Any, Any] | None, times: Array, policy: ExtractionPolicy) -> Verdict:
    """Judge how many requests each client sent.

    :param clients: shape ``(n_requests,)`` of text; ``None`` if the log does not say.
    :param times: seconds since the epoch.
    """
    if clients is None or not len(clients):
        reason = (
            "no request was logged" if clients is not None else f"the log has no column {policy.client!r}"
        )
        return Verdict.of("extraction", [_finding(policy.client, Outcome.INCONCLUSIVE, reason, None)])
    names, busiest = busiest_hours(clients, times)
    usual = float(np.median(busiest))
    limit = min(policy.per_hour, max(policy.at_least, policy.times_usual * usual))
    odd = np.flatnonzero(busiest > limit)
    if not odd.size:
        reason = f"{len(names)} clients, busiest hour {int(busiest.max())} requests, allowed {limit:g}"
        return Verdict.of("extraction", [_finding(policy.client, Outcome.PASS, reason, float(busiest.max()))])
    found = []
    for index in sorted(odd, key=lambda i: -busiest[i])[:_MOST_TOLD]:
        reason = (
            f"client {names[index]}: {int(busiest[index])} requests in an hour, allowed {limit:g} "
            f"(the median client's busiest hour has {usual:g})"
        )
        found.append(_finding(str(names[index]), policy.outcome, reason, float(busiest[index])))
    return Verdict.of("extraction", found)


def busiest_hours(clients: np.ndarray[Any, Any], times: Array) -> tuple[np.ndarray[Any, Any], Array]:
    """Return every client with the requests of its busiest clock hour."""
    names, codes = np.unique(clients, return_inverse=True)
    hours = np.floor(times / _HOUR_SECONDS).astype(np.int64)
    hours -= hours.min()
    pairs, counts = np.unique(codes * (int(hours.max()) + 1) + hours, return_counts=True)
    busiest = np.zeros(len(names))
    np.maximum.at(busiest, pairs // (int(hours.max()) + 1), counts)
    return names, busiest


def _finding(subject: str, outcome: Outcome, reason: str, observed: float | None) -> Finding:
    return Finding(
        check="extraction",
        subject=subject,
        outcome=outcome,
        severity=Severity.WARNING,
        reason=reason,
        observed=observed,
    )
