"""Causes that fail in several windows of one arm: worlds, and the tests of ``core.rollout``, compiled.

``linked_as_the_core_links`` runs the core's tests on the same windows: both stop at the same ones.
"""

from __future__ import annotations

import itertools

import numpy as np
from numba import njit

from airflow_mlops.core.rollout.evidence.block import DENSE_ERRORS, DENSE_RATE, MOST_ERRORS
from airflow_mlops.core.rollout.evidence.rate import ABOVE_STAKES, RECENT, ErrorRateTest
from airflow_mlops.core.rollout.evidence.share import WORSE_RATIOS, ArmCounts, ErrorShareTest
from airflow_mlops.core.rollout.machine import RESERVE

ALPHA, HORIZON, SECONDS, HOUR = 0.05, 20.0, 2.0, 3600.0
RETRIES = np.array([0.0, 1, 3, 7, 15, 31])  # seconds after the first attempt: pauses of 1, 2, 4, 8, 16
STARTS = np.array([600.0, 1200.0])
BURST_CELLS = list(itertools.product((20, 50, 200), (0.05, 0.25, 0.5), (1e-4, 1e-3, 1e-2), (3, 12)))
KINDS = {"retries": 0, "one a window": 1, "several a window": 2}
ALONE_CELLS = [
    (rps, mean, *burst)
    for rps in (20, 50, 200)
    for mean in (0.017, 0.018, 0.019)
    for burst in ((4.0, 0.3), (10.0, 0.3), (10.0, 1.0), (20.0, 0.5), (0.0, 0.0))
]
_RATIOS, _STAKES = np.array(WORSE_RATIOS), np.array(ABOVE_STAKES)


@njit(cache=True)
def _add(counts, window, arm, errors):
    if window < len(counts):
        counts[window, arm] += errors
        counts[window, arm + 1] += errors


@njit(cache=True)
def burst_windows(seed, rps, weight, base, per_hour, kind, seconds, length, canary_rate):
    """Counts per window (canary requests, errors, stable requests, errors) beside bursts of one arm each.

    A burst's arm is chosen by the weight. ``weight`` of 0: steps of 5, 25, 50 %, ten minutes each.
    """
    np.random.seed(seed)
    windows = int(seconds / length)
    counts = np.zeros((windows, 4))
    for t in range(windows):
        share = weight
        if weight == 0:
            share = (0.05, 0.25, 0.5)[min(2, int(t * length / 600))]
        counts[t, 0] = np.random.poisson(rps * length * share)
        counts[t, 2] = np.random.poisson(rps * length * (1 - share))
        counts[t, 1] = np.random.binomial(int(counts[t, 0]), canary_rate)
        counts[t, 3] = np.random.binomial(int(counts[t, 2]), base)
    for _ in range(np.random.poisson(per_hour * seconds / 3600)):
        began, arm = np.random.random() * seconds, 0 if np.random.random() < weight else 2
        times = np.random.randint(2, 7)
        if kind == 0:
            for attempt in range(times):
                _add(counts, int((began + RETRIES[attempt]) / length), arm, 1)
        else:
            for later in range(min(times, 5)):
                errors = 1 if kind == 1 else 1 + np.random.poisson(1)
                _add(counts, int(began / length) + later, arm, errors)
    return counts


@njit(cache=True)
def share_stop(counts, length, alpha, reserve, starts, horizon):  # noqa: C901 - one compiled loop
    """Seconds until the share test rolls back; infinity: never."""
    wealth = np.full(len(_RATIOS), 1 - reserve)
    errors = canary = expected = since = until = 0.0
    due = begun = 0
    for t in range(len(counts)):
        now = (t + 1) * length
        while begun < len(starts) and now > starts[begun]:
            begun += 1
            due += 1
        if errors > 0 and now - length - until >= horizon > 0:
            _bet_share(wealth, errors, canary, expected)
            errors = canary = expected = 0.0
        while errors == 0 and due > 0:
            due -= 1
            reserve /= 2
            wealth += reserve
        asked, others, fresh = counts[t, 0], counts[t, 2], counts[t, 1] + counts[t, 3]
        if asked > 0 and others > 0 and fresh > 0:
            if errors == 0:
                since = now - length
            errors, canary, until = errors + fresh, canary + counts[t, 1], now
            expected += fresh * (asked / (asked + others))
        dense = errors >= max(DENSE_ERRORS, DENSE_RATE * (until - since))
        if errors > 0 and (horizon == 0 or errors >= MOST_ERRORS or dense or now - until >= horizon):
            _bet_share(wealth, errors, canary, expected)
            errors = canary = expected = 0.0
        if reserve + wealth.mean() >= 1 / alpha:
            return now
    return np.inf


@njit(cache=True)
def _bet_share(wealth, errors, canary, expected):
    share, seen = expected / errors, canary / errors
    for i in range(len(_RATIOS)):
        claim = _RATIOS[i] * share / (1 + share * (_RATIOS[i] - 1))
        wealth[i] *= seen * claim / share + (1 - seen) * (1 - claim) / (1 - share)


@njit(cache=True)
def alone_windows(seed, rps, mean, lasts, rate, seconds, length):  # noqa: C901 - one compiled loop
    """Counts per window (requests, errors) at a mean rate: a quarter of it always, the rest in bursts.

    A burst fails ``rate`` of the requests for ``lasts`` seconds, 0.5 to 1.5 times; ``lasts`` of 0: all errors
    are retries of one client each.
    """
    np.random.seed(seed)
    windows = int(seconds / length)
    counts, failing = np.zeros((windows, 2)), np.full(windows, mean / 4 if lasts else 0.0)
    bursts = np.random.poisson((mean * 0.75 / (rate * lasts) if lasts else mean / 4 * rps) * seconds)
    for t in range(windows):
        counts[t, 0] = np.random.poisson(rps * length)
    for _ in range(bursts):
        began = np.random.random() * seconds
        if lasts == 0:
            for attempt in range(np.random.randint(2, 7)):
                at = int((began + RETRIES[attempt]) / length)
                if at < windows and counts[at, 1] < counts[at, 0]:
                    counts[at, 1] += 1
            continue
        ends = began + lasts * (0.5 + np.random.random())
        for t in range(int(began / length), min(windows, int(ends / length) + 1)):
            inside = min(ends, (t + 1) * length) - max(began, t * length)
            failing[t] = min(1.0, failing[t] + rate * max(inside, 0.0) / length)
    if lasts > 0:
        for t in range(windows):
            counts[t, 1] = np.random.binomial(int(counts[t, 0]), failing[t])
    return counts


@njit(cache=True)
def alone_stop(counts, length, allowed, alpha, horizon):
    """Seconds until the rate alone rolls back; infinity: never."""
    wealth, recent, blocks = np.ones(len(_STAKES)), np.zeros(RECENT), 0
    asked = failed = since = 0.0
    is_open = False
    for t in range(len(counts)):
        now = (t + 1) * length
        if counts[t, 0] == 0:
            continue
        if not is_open:
            is_open, asked, failed, since = True, 0.0, 0.0, now - length
        asked, failed = asked + counts[t, 0], failed + counts[t, 1]
        if now - since >= horizon:
            recent[blocks % RECENT] = asked
            blocks += 1
            wealth *= 1 + _STAKES * (failed - allowed * asked) / allowed / recent.max()
            is_open = False
            if wealth.mean() >= 1 / alpha:
                return now
    return np.inf


def burst_rollbacks(repetitions, horizon, kind, cells=None, *, length=SECONDS, seed=1, alpha=ALPHA):
    """Share of rollbacks of a healthy canary within an hour, per cell (rps, weight, base, bursts an hour)."""
    return {
        cell: np.mean([
            np.isfinite(share_stop(
                burst_windows(seed + n, *cell, KINDS[kind], HOUR, length, cell[2]),
                length, alpha, 0.0, np.zeros(0), horizon,
            ))
            for n in range(repetitions)
        ])
        for cell in cells or BURST_CELLS
    }  # fmt: skip


def linked_ladder(repetitions, horizon, rps, rate, *, base=0.01, length=SECONDS, seed=2):
    """Median seconds to roll back on steps of 5, 25 and 50 %, ten minutes each."""
    return np.median([
        share_stop(
            burst_windows(seed + n, rps, 0.0, base, 0, 0, HOUR, length, rate),
            length, ALPHA, RESERVE, STARTS, horizon,
        )
        for n in range(repetitions)
    ])  # fmt: skip


def alone_rollbacks(repetitions, horizon, cells=None, *, allowed=0.02, length=SECONDS, seed=3):
    """Share of rollbacks within an hour of a canary that fails less than is allowed, in bursts, per cell."""
    return {
        cell: np.mean([
            np.isfinite(alone_stop(
                alone_windows(seed + n, *cell, HOUR, length), length, allowed, ALPHA, horizon
            ))
            for n in range(repetitions)
        ])
        for cell in cells or ALONE_CELLS
    }  # fmt: skip


def alone_found(repetitions, horizon, rps, rate, *, allowed=0.02, length=SECONDS, seed=4):
    """Median seconds until a canary alone that fails more than is allowed, each error by itself, is found."""
    rng, times = np.random.default_rng(seed), []
    for _ in range(repetitions):
        asked = rng.poisson(rps * length, int(HOUR / length))
        counts = np.stack([asked, rng.binomial(asked, rate)], axis=1).astype(float)
        times.append(alone_stop(counts, length, allowed, ALPHA, horizon))
    return np.median(times)


def linked_as_the_core_links(repetitions=20):
    """Whether the compiled tests stop at the windows at which those of ``core.rollout`` stop."""
    stops = []
    for n, horizon in itertools.product(range(repetitions), (0.0, HORIZON)):
        counts = burst_windows(100 + n, 50, 0.0, 0.002, 12, 0, 1800.0, SECONDS, 0.002 + 0.002 * (n % 3))
        ours = share_stop(counts, SECONDS, ALPHA, RESERVE, STARTS, horizon)
        alone = alone_windows(200 + n, 50, 0.04, 10.0, 0.3, 1800.0, SECONDS)
        rate = alone_stop(alone, SECONDS, 0.02, ALPHA, horizon)
        stops.append(
            (ours == _core_share(counts, horizon), rate == _core_alone(alone, horizon), ours < np.inf)
        )
    agree, rates, found = zip(*stops, strict=True)
    return all(agree) and all(rates) and any(found) and not all(found)


def _core_share(counts, horizon):
    test, starts = ErrorShareTest(alpha=ALPHA, retry_horizon=horizon), list(STARTS)
    test.keep_back(RESERVE)
    for t, window in enumerate(counts.astype(int).tolist()):
        now = (t + 1) * SECONDS
        if starts and now > starts[0]:
            starts.pop(0)
            test.invest()
        test.observe(_arms(window), since=now - SECONDS, until=now)
        if test.e_value >= 1 / ALPHA:
            return now
    return np.inf


def _core_alone(counts, horizon):
    test = ErrorRateTest(allowed=0.02, retry_horizon=horizon)
    for t, window in enumerate(counts.astype(int).tolist()):
        now = (t + 1) * SECONDS
        test.observe(_arms([*window, 0, 0]), since=now - SECONDS, until=now)
        if test.above_e_value >= 1 / ALPHA:
            return now
    return np.inf


def _arms(counts):
    names = ("canary_requests", "canary_errors", "stable_requests", "stable_errors")
    return ArmCounts(**dict(zip(names, counts, strict=True)))
