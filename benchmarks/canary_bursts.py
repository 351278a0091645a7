"""Causes that fail in several windows: worlds, and the rules of ``core.rollout``, compiled.

``linked_as_the_core_links`` runs ``machine.advance`` on the same windows: both stop at the same ones.
"""

from __future__ import annotations

import itertools

import numpy as np
from canary_outages import down_alone_stop, down_stop, matched_errors, shared_windows
from numba import njit

from airflow_mlops.core.rollout.counters import Reading
from airflow_mlops.core.rollout.evidence.block import LONGEST, MOST_ERRORS, QUIET
from airflow_mlops.core.rollout.evidence.rate import ABOVE_STAKES, RECENT
from airflow_mlops.core.rollout.evidence.share import WORSE_RATIOS
from airflow_mlops.core.rollout.machine import EARLY, RESERVE, advance, begin, begin_step
from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.core.rollout.state import Phase

ALPHA, HORIZON, SECONDS, HOUR = 0.05, 20.0, 2.0, 3600.0
LADDER, STEP = (5, 25, 50), 600.0
RETRIES = np.array([0.0, 1, 3, 7, 15, 31])  # seconds after the first attempt: pauses of 1, 2, 4, 8, 16
STARTS, NO_STARTS = np.array([STEP, 2 * STEP]), np.zeros(0)
BURST_CELLS = list(itertools.product((20, 50, 200), (0.05, 0.25, 0.5), (1e-4, 1e-3, 1e-2), (3, 12)))
KINDS = {"retries": 0, "one a window": 1, "several a window": 2}
ALONE_CELLS = [
    (rps, mean, *burst)
    for rps in (20, 50, 200)
    for mean in (0.017, 0.018, 0.019)
    for burst in ((4.0, 0.3), (10.0, 0.3), (10.0, 1.0), (20.0, 0.5), (0.0, 0.0))
]
SHARED_CELLS = list(
    itertools.product((20, 50, 200), (0.05, 0.25, 0.5), (1e-3, 1e-2), (0.3, 1.0), (0.0, 2.0, 10.0))
)
_RATIOS, _STAKES = np.array(WORSE_RATIOS), np.array(ABOVE_STAKES)


@njit(cache=True)
def _add(counts, window, arm, errors):
    if window < len(counts):
        counts[window, arm] += errors
        counts[window, arm + 1] += errors


@njit(cache=True)
def _share_at(weight, now):
    return weight if weight > 0 else (0.05, 0.25, 0.5)[min(2, int(now / 600))]


@njit(cache=True)
def burst_windows(seed, rps, weight, base, per_hour, kind, seconds, length, canary_rate):
    """Counts per window (canary requests, errors, stable requests, errors) beside bursts of one arm each.

    A burst's arm is chosen by the weight. ``weight`` of 0: steps of 5, 25, 50 %, ten minutes each.
    """
    np.random.seed(seed)
    windows = int(seconds / length)
    counts = np.zeros((windows, 4))
    for t in range(windows):
        share = _share_at(weight, t * length)
        counts[t, 0] = np.random.poisson(rps * length * share)
        counts[t, 2] = np.random.poisson(rps * length * (1 - share))
        counts[t, 1] = np.random.binomial(int(counts[t, 0]), canary_rate)
        counts[t, 3] = np.random.binomial(int(counts[t, 2]), base)
    for _ in range(np.random.poisson(per_hour * seconds / 3600)):
        began = np.random.random() * seconds
        arm = 0 if np.random.random() < _share_at(weight, began) else 2
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
def share_stop(counts, length, alpha, reserve, starts, horizon):  # noqa: C901, PLR0915 - one compiled loop
    """Seconds until the share test rolls back; infinity: never."""
    part = EARLY if horizon > 0 else 0.0
    wealth = np.full(len(_RATIOS), (1 - reserve) * (1 - part))
    early = np.full(len(_RATIOS), (1 - reserve) * part)
    matched = matched_errors(counts, length, horizon) if horizon > 0 else np.zeros(len(counts))
    errors = canary = expected = more = until = began = waiting = 0.0
    begun = 0
    for t in range(len(counts)):
        now = (t + 1) * length
        if begun < len(starts) and now > starts[begun]:
            began = starts[begun]
            begun += 1
            reserve /= 2
            waiting += reserve * (1 - part)
            early += reserve * part
        is_early = now - length < began + horizon
        if errors > 0 and now - length - until >= horizon > 0:
            _bet_share(wealth, errors, canary, expected, more)
            errors = canary = expected = more = 0.0
        if errors == 0:
            wealth += waiting
            waiting = 0.0
            if not is_early:
                wealth += early
                early[:] = 0.0
        asked, others, fresh = counts[t, 0], counts[t, 2], counts[t, 1] + counts[t, 3]
        if asked > 0 and others > 0 and fresh > 0:
            if is_early:
                _bet_share(early, fresh, counts[t, 1], fresh * (asked / (asked + others)), matched[t])
            errors, canary, until = errors + fresh, canary + counts[t, 1], now
            expected += fresh * (asked / (asked + others))
            more += matched[t]
        if errors > 0 and (horizon == 0 or errors >= MOST_ERRORS or now - until >= horizon):
            _bet_share(wealth, errors, canary, expected, more)
            errors = canary = expected = more = 0.0
        if reserve + waiting + wealth.mean() + early.mean() >= 1 / alpha:
            return now
    return np.inf


@njit(cache=True)
def _bet_share(wealth, errors, canary, expected, matched):
    share, seen = expected / errors, canary / (errors + matched)
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
        lasted, quiet = now - since, counts[t, 1] <= QUIET * allowed * counts[t, 0]
        if lasted >= horizon and (quiet or lasted >= LONGEST * horizon):
            recent[blocks % RECENT] = asked
            blocks += 1
            wealth *= 1 + _STAKES * (failed - allowed * asked) / allowed / recent.max()
            is_open = False
            if wealth.mean() >= 1 / alpha:
                return now
    return np.inf


def beside_stop(counts, length, alpha, reserve, starts, horizon):
    """Seconds until a canary beside a champion is rolled back; without ``horizon`` by its windows alone."""
    found = share_stop(counts, length, alpha, reserve, starts, horizon)
    return min(found, down_stop(counts, length, starts, horizon)) if horizon else found


def alone_found_at(counts, length, allowed, alpha, horizon):
    """Seconds until a canary that is alone is rolled back; without ``horizon`` by its windows alone."""
    found = alone_stop(counts, length, allowed, alpha, horizon)
    return min(found, down_alone_stop(counts, length, horizon)) if horizon else found


def _rolled_back(repetitions, stops):
    return np.mean([np.isfinite(stops(n)) for n in range(repetitions)])


def burst_rollbacks(repetitions, horizon, kind, cells=None, *, length=SECONDS, seed=1, alpha=ALPHA):
    """Share of rollbacks of a healthy canary within an hour, per cell (rps, weight, base, bursts an hour).

    A weight of 0: steps of 5, 25, 50 %.
    """

    def stops(n, cell):
        counts = burst_windows(seed + n, *cell, KINDS[kind], HOUR, length, cell[2])
        kept, starts = (0.0, NO_STARTS) if cell[1] else (RESERVE, STARTS)
        return beside_stop(counts, length, alpha, kept, starts, horizon)

    return {cell: _rolled_back(repetitions, lambda n, c=cell: stops(n, c)) for cell in cells or BURST_CELLS}


def shared_rollbacks(repetitions, horizon, cells=None, *, length=SECONDS, seed=5, per_hour=6):
    """The same for outages of both arms, per cell (rps, weight, base, failing share, lag of the canary)."""

    def stops(n, cell):
        counts = shared_windows(seed + n, *cell, per_hour, HOUR, length)
        return beside_stop(counts, length, ALPHA, 0.0, NO_STARTS, horizon)

    return {cell: _rolled_back(repetitions, lambda n, c=cell: stops(n, c)) for cell in cells or SHARED_CELLS}


def linked_ladder(repetitions, horizon, rps, rate, *, base=0.01, length=SECONDS, seed=2):
    """Median seconds to roll back on steps of 5, 25 and 50 %, ten minutes each."""
    return np.median([
        beside_stop(
            burst_windows(seed + n, rps, 0.0, base, 0, 0, HOUR, length, rate),
            length, ALPHA, RESERVE, STARTS, horizon,
        )
        for n in range(repetitions)
    ])  # fmt: skip


def found_in_a_step(
    repetitions, horizon, rps, weight, rate, *, base=0.01, since=300.0, length=SECONDS, seed=6
):
    """Median seconds until a canary is found that begins to fail in the middle of a step."""
    times = []
    for n in range(repetitions):
        fine, bad = (burst_windows(seed + n, rps, weight, base, 0, 0, HOUR, length, r) for r in (base, rate))
        counts = np.concatenate([fine[: int(since / length)], bad[int(since / length) :]])
        times.append(beside_stop(counts, length, ALPHA, RESERVE, NO_STARTS, horizon) - since)
    return np.median(times)


def alone_rollbacks(repetitions, horizon, cells=None, *, allowed=0.02, length=SECONDS, seed=3):
    """Share of rollbacks within an hour of a canary that fails less than is allowed, in bursts, per cell."""

    def stops(n, cell):
        return alone_found_at(alone_windows(seed + n, *cell, HOUR, length), length, allowed, ALPHA, horizon)

    return {cell: _rolled_back(repetitions, lambda n, c=cell: stops(n, c)) for cell in cells or ALONE_CELLS}


def alone_found(repetitions, horizon, rps, rate, *, since=0.0, allowed=0.02, length=SECONDS, seed=4):
    """Median seconds until a canary alone is found that fails more than is allowed, each error by itself.

    :param since: seconds for which it is fine before (a tenth of the allowance).
    """
    rng, times = np.random.default_rng(seed), []
    for _ in range(repetitions):
        asked, at = rng.poisson(rps * length, int(HOUR / length)), np.arange(0, HOUR, length)
        failed = rng.binomial(asked, np.where(at < since, allowed / 10, rate))
        counts = np.stack([asked, failed], axis=1).astype(float)
        times.append(alone_found_at(counts, length, allowed, ALPHA, horizon) - since)
    return np.median(times)


def linked_as_the_core_links(repetitions=20):
    """Whether the compiled rules stop at the windows at which ``machine.advance`` stops."""
    stops = []
    for n, horizon in itertools.product(range(repetitions), (0.0, HORIZON)):
        down = 60.0 if n % 4 == 3 else 0.0
        counts = burst_windows(100 + n, 50, 0.0, 0.002, 12, 0, 1800.0, SECONDS, 0.002 + 0.002 * (n % 3))
        counts += shared_windows(300 + n, 50, 0.2, 0.0, 0.8, 8.0, 12, 1800.0, SECONDS)
        counts[650:, 1] = np.where(down > 0, counts[650:, 0], counts[650:, 1])
        ours = min(
            share_stop(counts, SECONDS, ALPHA, RESERVE, STARTS, horizon),
            down_stop(counts, SECONDS, STARTS, horizon),
        )
        alone = alone_windows(200 + n, 50, 0.04, 10.0, (0.3, 1.0)[n % 2], 1800.0, SECONDS)
        rate = min(alone_stop(alone, SECONDS, 0.02, ALPHA, horizon), down_alone_stop(alone, SECONDS, horizon))
        other = _core_stops(np.pad(alone, ((0, 0), (0, 2))), (100,), horizon)
        stops.append((ours == _core_stops(counts, LADDER, horizon), rate == other, ours < np.inf))
    agree, rates, found = zip(*stops, strict=True)
    return all(agree) and all(rates) and any(found) and not all(found)


def _core_stops(windows, steps, horizon):
    """Seconds until ``machine.advance`` rolls back on the steps of the arrays, whatever it says of rising."""
    plan = RolloutPlan(
        steps=steps, bake_seconds=0, deadline_seconds=1e9, window_seconds=SECONDS,
        retry_horizon_seconds=horizon,
    )  # fmt: skip
    state, total, step = begin(plan, "2", "1"), np.zeros(4, dtype=int), -1
    for t, window in enumerate(windows.astype(int)):
        now, due = (t + 1) * SECONDS, min(len(steps) - 1, int(t * SECONDS / STEP))
        if due > step:
            passed = type(state).from_json(state.to_json() | {"phase": "passed" if step >= 0 else "ready"})
            state, step = begin_step(passed, steps[due], _reading(total), now=now - SECONDS), due
        total = total + window
        state = type(state).from_json(state.to_json() | {"phase": "stepping"})
        state = advance(plan, state, _reading(total), now=now)
        if state.phase is Phase.ROLLED_BACK:
            return now
    return np.inf


def _reading(total):
    names = ("canary_requests", "canary_errors", "stable_requests", "stable_errors")
    return Reading(generation="g", **dict(zip(names, total.tolist(), strict=True)))
