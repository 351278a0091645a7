"""Outages: of both arms, reported late by one of them, and the circuit breaker of ``core.rollout``, compiled.

``canary_bursts.linked_as_the_core_links`` checks that it stops where the core does.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from airflow_mlops.core.rollout.evidence.block import LONGEST
from airflow_mlops.core.rollout.evidence.echo import OUTAGE_ERRORS, OUTAGE_RATE, OUTAGE_TIMES
from airflow_mlops.core.rollout.outage import ALONE_SHARE, LEAST_WINDOWS, STABLE_TIMES
from airflow_mlops.core.rollout.plan import RolloutPlan

_PLAN = RolloutPlan()
_DOWN, _DOWN_OF = _PLAN.outage_share, _PLAN.outage_requests


@njit(cache=True)
def shared_windows(seed, rps, weight, base, rate, lag, per_hour, seconds, length):
    """Counts per window of two arms alike, in outages of both that the canary reports ``lag`` seconds later.

    They last 4 s, in which ``rate`` of the requests fail.
    """
    np.random.seed(seed)
    windows = int(seconds / length)
    failing, counts = np.full((windows, 2), base), np.zeros((windows, 4))
    lasts = 4.0
    for _ in range(np.random.poisson(per_hour * seconds / 3600)):
        outage = np.random.random() * (seconds - 60)
        for arm in range(2):
            began = outage + (lag if arm == 0 else 0.0)
            for t in range(int(began / length), min(windows, int((began + lasts) / length) + 1)):
                inside = min(began + lasts, (t + 1) * length) - max(began, t * length)
                failing[t, arm] = min(1.0, failing[t, arm] + rate * max(inside, 0.0) / length)
    for t in range(windows):
        for arm in range(2):
            counts[t, 2 * arm] = np.random.poisson(rps * length * (weight if arm == 0 else 1 - weight))
            counts[t, 2 * arm + 1] = np.random.binomial(int(counts[t, 2 * arm]), failing[t, arm])
    return counts


@njit(cache=True)
def matched_errors(counts, length, horizon):
    """Errors of stable's last outage that are held against the canary's, per window."""
    matched, asked, failed, share, until = np.zeros(len(counts)), 0.0, 0.0, 0.0, 0.0
    for t in range(len(counts)):
        since, usual = t * length, failed / asked if asked > 0 else 0.0
        requests, errors = counts[t, 2], counts[t, 3]
        if share > 0 and counts[t, 1] > 0 and since - until <= horizon:
            matched[t] = max(share * requests - errors, 0.0)
        asked, failed = asked + requests, failed + errors
        if errors >= OUTAGE_ERRORS and errors >= max(OUTAGE_RATE, OUTAGE_TIMES * usual) * requests:
            share = max(share if since - until <= horizon else 0.0, errors / requests)
            until = since + length
    return matched


@njit(cache=True)
def _both_fail(counts, t):
    """Whether the last windows with requests of the canary all failed as much as an outage."""
    found = 0
    while t >= 0 and found < LEAST_WINDOWS:
        if counts[t, 0] > 0:
            if counts[t, 1] < _DOWN * counts[t, 0]:
                return False
            found += 1
        t -= 1
    return found == LEAST_WINDOWS


@njit(cache=True)
def down_stop(counts, length, starts, horizon):
    """Seconds until the circuit breaker rolls back beside a champion; infinity: never."""
    first = begun = 0
    for t in range(len(counts)):
        if begun < len(starts) and (t + 1) * length > starts[begun]:
            begun, first = begun + 1, t
        if not _both_fail(counts[first : t + 1], t - first):
            continue
        asked = failed = others = 0.0
        for start in range(t, first - 1, -1):
            asked, failed = asked + counts[start, 0], failed + counts[start, 1]
            others += counts[start, 2]
            if t - start < LEAST_WINDOWS - 1 or asked < _DOWN_OF:
                continue
            stable = 0.0
            for near in range(max(first, start - int(horizon / length)), t + 1):
                stable = max(stable, counts[near, 3] / max(counts[near, 2], 1.0))
            if failed >= _DOWN * asked and stable < STABLE_TIMES * failed / asked and others > 0:
                return (t + 1) * length
            break
    return np.inf


@njit(cache=True)
def down_alone_stop(counts, length, horizon):
    """Seconds until the circuit breaker rolls back a canary that is alone from the beginning on."""
    asked = failed = 0.0
    for t in range(len(counts)):
        asked, failed = asked + counts[t, 0], failed + counts[t, 1]
        if not _both_fail(counts, t):
            continue
        if asked >= _DOWN_OF and failed >= _DOWN * asked:
            return (t + 1) * length
        lately = bad = 0.0
        for start in range(t, -1, -1):
            lately, bad = lately + counts[start, 0], bad + counts[start, 1]
            lasted = (t + 1 - start) * length
            if t > start and lately >= _DOWN_OF and lasted >= LONGEST * horizon:
                if bad >= ALONE_SHARE * lately:
                    return (t + 1) * length
                break
    return np.inf
