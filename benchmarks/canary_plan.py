"""Whole plans: steps of 5, 25, 50, 100 %, and all metrics watched at once, as ``core.rollout`` judges them.

``judged_as_the_core_judges`` runs ``machine.advance`` on the same requests: both stop at the same windows.
"""

from __future__ import annotations

import itertools

import numpy as np
from canary_rules import ALPHA, Race, ShareRule, Traffic, column, retried

from airflow_mlops.core.rollout.counters import Reading
from airflow_mlops.core.rollout.evidence.prediction import RATIOS
from airflow_mlops.core.rollout.evidence.rate import ABOVE_STAKES, RECENT
from airflow_mlops.core.rollout.machine import RESERVE, advance, begin, begin_step
from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.core.rollout.state import Phase

SECONDS, STEPS, ALLOWED = 2, (5, 25, 50, 100), 0.02
METRICS = ("errors", "latency", "quality", "predictions")
BINS = np.array([0.3, 0.2, 0.15, 0.1, 0.08, 0.06, 0.05, 0.03, 0.02, 0.01])


def starts(step):
    """Seconds at which the second and later steps begin."""
    return [step * number for number in range(1, len(STEPS))]


def percent_at(now, step):
    return STEPS[min(len(STEPS) - 1, int((now - SECONDS) // step))]


class AloneRule:
    """The canary's error rate against the allowance, of windows in which it had all the traffic."""

    def __init__(self, size, alpha):
        self.alpha, self.recent = alpha, np.zeros((RECENT, size))
        self.above = np.ones((len(ABOVE_STAKES), size))

    def update(self, canary, bad):
        self.recent = np.vstack([self.recent[1:], canary])
        over = (bad - ALLOWED * canary) / ALLOWED / np.maximum(self.recent.max(axis=0), 1)
        self.above *= 1 + column(ABOVE_STAKES) * over
        return self.above.mean(axis=0) >= 1 / self.alpha


class PlanRule:
    """Errors under a plan that ends at 100 %: the share test, then the rate alone; half of alpha each."""

    name = "plan to 100 %"

    def __init__(self, size, step, alpha=ALPHA / 2):
        self.step = step
        self.share = ShareRule(size, alpha=alpha, reserve=RESERVE, starts=starts(step))
        self.alone = AloneRule(size, alpha)

    def update(self, now, canary, bad, stable, worse):
        if percent_at(now, self.step) < 100:
            return self.share.update(now, canary, bad, stable, worse)
        return self.alone.update(canary, bad)


class PredictionRule:
    """Two-sided share test of every bin: pauses when the mean over bins and ratios is enough."""

    def __init__(self, size, alpha=ALPHA):
        self.alpha, self.wealth = alpha, np.ones((len(RATIOS), len(BINS), size))

    def update(self, canary, stable):
        """Take counts of both arms into account, (bins, size) each."""
        asked, others = canary.sum(axis=0), stable.sum(axis=0)
        both = canary + stable
        with np.errstate(invalid="ignore", divide="ignore"):
            share, seen = asked / (asked + others), canary / both
        over = np.asarray(RATIOS)[:, None, None] - 1
        grown = (1 + seen * over) / (1 + share * over)
        self.wealth *= np.where((both == 0) | (asked == 0) | (others == 0), 1.0, grown)
        return self.wealth.mean(axis=(0, 1)) >= 1 / self.alpha


def mixed(repetitions, *, step=600, seconds=3600, seed=11, canary=None, cells=None):
    """Seconds until errors roll a canary back on a plan of 5, 25, 50 and 100 %, per cell.

    :param canary: rate at which it fails, and from when on; as well as the champion if ``None``.
    """
    cells = cells or list(itertools.product((20, 50, 200), (0.001, 0.005, 0.01), (1, 3, 10)))
    rps, base, cluster = (np.repeat(part, repetitions) for part in zip(*cells, strict=True))
    traffic, race = Traffic(seed, rps * SECONDS, base, cluster), Race([PlanRule(len(rps), step)], len(rps))
    rate, since = canary or (None, seconds)
    for now in range(SECONDS, seconds + SECONDS, SECONDS):
        weight = percent_at(now, step) / 100
        race.step(now, traffic.window(weight, canary_rate=rate if now > since else None))
    return cells, race.times[PlanRule.name].reshape(len(cells), repetitions)


def everything_watched(repetitions, cluster, *, seed=12, step=600, seconds=3600, rps=50, labelled=0.3):
    """Share of healthy rollouts that each metric blames or pauses, and that any of them does.

    Errors (1 %), slow answers (1 %, every failed one is slow), wrong answers (15 % of those whose label has
    come) and ten prediction bins, on a plan of 5, 25, 50 and 100 %; alpha is divided among five tests.
    """
    alpha, rng = ALPHA / 5, np.random.default_rng(seed)
    traffic = Traffic(seed + 1, np.full(repetitions, rps * SECONDS), np.full(repetitions, 0.01), cluster)
    errors, bins = PlanRule(repetitions, step, alpha), PredictionRule(repetitions, alpha)
    share = {"alpha": alpha, "reserve": RESERVE, "starts": starts(step)}
    slow, wrong = (ShareRule(repetitions, **share) for _ in range(2))
    fired = {metric: np.zeros(repetitions, dtype=bool) for metric in METRICS}
    for now in range(SECONDS, seconds + SECONDS, SECONDS):
        counts = traffic.window(percent_at(now, step) / 100)
        late = [rng.binomial(asked - bad, 0.01) for asked, bad in (counts[:2], counts[2:])]
        known = [rng.binomial(counts[arm], labelled) for arm in (0, 2)]
        missed = [retried(rng, asked, 0.15, cluster) for asked in known]
        shares = [rng.multinomial(counts[arm], BINS).T for arm in (0, 2)]
        fired["errors"] |= errors.update(now, *counts)
        fired["latency"] |= slow.update(now, counts[0], counts[1] + late[0], counts[2], counts[3] + late[1])
        fired["quality"] |= wrong.update(now, known[0], missed[0], known[1], missed[1])
        fired["predictions"] |= bins.update(*shares)
    fired["any"] = np.any(list(fired.values()), axis=0)
    return {metric: which.mean() for metric, which in fired.items()}


def judged_as_the_core_judges(repetitions=20, step=60, rate=0.03):
    """Whether ``machine.advance`` rolls back at the windows at which ``PlanRule`` does.

    Half of the canaries fail more than the champion, half as often but more than is allowed at 100 %.
    """
    base = np.where(np.arange(repetitions) % 2, 0.01, rate)
    traffic = Traffic(13, np.full(repetitions, 200), base, 3)
    race, windows = Race([PlanRule(repetitions, step)], repetitions), []
    for now in range(SECONDS, 6 * step + SECONDS, SECONDS):
        windows.append((now, traffic.window(percent_at(now, step) / 100, canary_rate=rate)))
        race.step(*windows[-1])
    alone = np.isfinite(race.times[PlanRule.name]) & (race.times[PlanRule.name] > 3 * step)
    counts = [[(now, [int(c[i]) for c in seen]) for now, seen in windows] for i in range(repetitions)]
    stops = np.array([_core_stops(each, step) for each in counts])
    return bool((stops == race.times[PlanRule.name]).all() and alone.any() and not alone.all())


def _core_stops(windows, step):
    plan = RolloutPlan(steps=STEPS, bake_seconds=0, deadline_seconds=1e9, max_error_rate=ALLOWED)
    state, total = begin(plan, "2", "1"), [0, 0, 0, 0]
    for now, counts in windows:
        percent = percent_at(now, step)
        if percent != state.percent:  # the ladder of the arrays, whatever the evidence says of rising
            passed = state if state.phase is Phase.READY else _passed(state)
            state = begin_step(passed, percent, _reading(total), now=now - SECONDS)
        total = [a + b for a, b in zip(total, counts, strict=True)]
        state = advance(plan, _open(state), _reading(total), now=now)
        if state.phase is Phase.ROLLED_BACK:
            return now
    return np.inf


def _passed(state):
    return type(state).from_json(state.to_json() | {"phase": "passed"})


def _open(state):
    """The state, still counting: here only rolling back ends a step."""
    return type(state).from_json(state.to_json() | {"phase": "stepping"})


def _reading(total):
    names = ("canary_requests", "canary_errors", "stable_requests", "stable_errors")
    return Reading(generation="g", **dict(zip(names, total, strict=True)))
