"""Rules that roll a canary back, over many repetitions at once; each is fed one window after the other.

``ShareRule`` and ``AdvanceRule`` are ``core.rollout`` in arrays (``bench_canary.py`` checks that they stop
at the same windows); the others are what the peers do by default, as far as one error metric goes.
"""

from __future__ import annotations

import numpy as np

from airflow_mlops.core.rollout.evidence.rate import BELOW_TILTS, LEAST_BLOCK, RECENT
from airflow_mlops.core.rollout.evidence.share import HARMLESS_RATIOS, TOLERATED_RATIO, WORSE_RATIOS

ALPHA = 0.05


def retried(rng, asked, rate, cluster):
    """How many of ``asked`` are bad when those come ``cluster`` at a time on the same arm."""
    return np.minimum(rng.binomial(asked // cluster, rate) * cluster, asked)


def column(values):
    return np.asarray(values)[:, None]


class Traffic:
    """Windows of two arms, many repetitions side by side; every argument may be an array over them.

    :param cluster: errors come this many at a time: ``retries`` on one arm (a failing request is sent
        again and fails again), or in ``outages`` of both arms in one window of so many.
    """

    def __init__(self, seed, per_window, base, cluster=1, *, outages=False):
        self.rng, self.per_window, self.base = np.random.default_rng(seed), per_window, base
        self.cluster, self.outages = np.asarray(cluster), np.asarray(outages)

    def window(self, weight, canary_rate=None):
        rng, size = self.rng, np.shape(self.base)
        canary = rng.poisson(self.per_window * weight, size)
        stable = rng.poisson(self.per_window * (1 - weight), size)
        shared = np.where(rng.random(size) < 1 / self.cluster, self.base * self.cluster, 0.0)
        times = np.where(self.outages, 1, self.cluster)
        ratio = 1.0 if canary_rate is None else canary_rate / self.base
        base = np.where(self.outages, shared, self.base)
        failing, worse = (self._first(np.minimum(base * r, 1.0), times) for r in (ratio, 1.0))
        bad, also = rng.binomial(canary, failing), rng.binomial(stable, worse)
        return canary + (times - 1) * bad, times * bad, stable + (times - 1) * also, times * also

    @staticmethod
    def _first(rate, times):
        """Rate at which first attempts fail so that ``rate`` of all attempts, retries included, do."""
        return rate / (times - rate * (times - 1))


class ShareRule:
    """E-process on the canary's share of each window's errors.

    :param reserve: capital kept back, half of what is left of it invested at each of ``starts`` (seconds).
    """

    name = "share test"

    def __init__(self, size, *, alpha=ALPHA, reserve=0.0, starts=()):
        self.alpha, self.reserve, self.starts = alpha, reserve, list(starts)
        self.wealth = np.full((len(WORSE_RATIOS), size), 1.0 - reserve)

    def update(self, now, canary, bad, stable, worse):
        while self.starts and now > self.starts[0]:
            self.starts.pop(0)
            self.reserve /= 2
            self.wealth += self.reserve
        with np.errstate(invalid="ignore", divide="ignore"):
            share = canary / (canary + stable)
            off = bad / (bad + worse) - share
        off = np.where((bad + worse == 0) | (canary == 0) | (stable == 0), 0.0, off)
        over = column(WORSE_RATIOS) - 1
        self.wealth *= 1 + over / (1 + np.nan_to_num(share) * over) * off
        return self.reserve + self.wealth.mean(axis=0) >= 1 / self.alpha


class AdvanceRule:
    """What lets a step advance: harmless by shares of errors, or a failed share of windows below a bar."""

    name = "may advance"

    def __init__(self, size, allowed, burst=None):
        self.allowed, self.burst = allowed, burst
        self.recent = np.zeros((RECENT, size))
        self.harmless = np.ones((len(HARMLESS_RATIOS), size))
        self.below = np.ones((len(BELOW_TILTS), size))

    def update(self, _now, canary, bad, stable, worse):
        with np.errstate(invalid="ignore", divide="ignore"):
            self._bet(canary, bad, stable, worse)
        return (self.harmless.mean(axis=0) >= 1 / ALPHA) | (self.below.mean(axis=0) >= 1 / ALPHA)

    def _bet(self, canary, bad, stable, worse):
        errors, share = bad + worse, canary / (canary + stable)
        tolerated = TOLERATED_RATIO * share / (1 + share * (TOLERATED_RATIO - 1))
        null = np.minimum(tolerated, odds_share(TOLERATED_RATIO, canary, stable, errors))
        claim = odds_share(column(HARMLESS_RATIOS), canary, stable, errors)
        seen = bad / errors
        factor = seen * claim / null + (1 - seen) * (1 - claim) / (1 - null)
        self.harmless *= np.where((errors == 0) | (canary == 0) | (stable == 0), 1.0, factor)
        block = np.maximum(LEAST_BLOCK, self.recent.max(axis=0)) if self.burst is None else self.burst
        most = block if self.burst is None else np.inf
        fair, failed = self.allowed * np.minimum(canary, most) / block, np.minimum(bad, most) / block
        self.below *= np.exp(fair * -np.expm1(-column(BELOW_TILTS)) - column(BELOW_TILTS) * failed)
        self.recent = np.where(canary == 0, self.recent, np.vstack([self.recent[1:], canary]))


def odds_share(ratio, asked, others, errors):
    middle = others - errors + ratio * (asked + errors)
    return 2 * ratio * asked / (middle + np.sqrt(middle**2 - 4 * (ratio - 1) * ratio * asked * errors))


class Totals:
    """Sums of both arms since the beginning and since the last look."""

    every = 60

    def __init__(self, size):
        self.size = size
        self.total, self.recent = np.zeros((4, size)), np.zeros((4, size))
        self.fired = np.zeros(size, dtype=bool)

    def update(self, now, *counts):
        self.total += counts
        self.recent += counts
        if now % self.every == 0:
            self.fired |= self.look(now)
            self.recent[:] = 0
        return self.fired


class ZRule(Totals):
    """One-sided two-proportion z test at 5 %, looked at after every window."""

    name, every = "z test", 2

    def look(self, _now):
        canary, bad, stable, worse = np.maximum(self.total, [[1], [0], [1], [0]])
        pooled = (bad + worse) / (canary + stable)
        spread = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-12) * (1 / canary + 1 / stable))
        return (bad / canary - worse / stable) / spread > 1.645


class FlaggerRule(Totals):
    """Flagger's documented canary: each minute a success rate of 99 % or more, five failed checks."""

    name, every = "Flagger-like", 60

    def __init__(self, size):
        super().__init__(size)
        self.failed = np.zeros(size)

    def look(self, _now):
        canary, bad = self.recent[:2]
        self.failed += (canary > 0) & (bad > 0.01 * canary)
        return self.failed >= 5


class ArgoRule(Totals):
    """Argo Rollouts' documented analysis: each five minutes a success rate of 95 %, failure limit three."""

    name, every = "Argo-like", 300

    def __init__(self, size):
        super().__init__(size)
        self.failed = np.zeros(size)

    def look(self, _now):
        canary, bad = self.recent[:2]
        self.failed += (canary > 0) & (bad > 0.05 * canary)
        return self.failed > 3


class KayentaRule(Totals):
    """Kayenta's judge: each five minutes Mann-Whitney over all minutes so far, 98 %, tolerance 25 %.

    "High" when the lower confidence bound of the Hodges-Lehmann shift exceeds a quarter of its estimate.
    """

    name, every = "Kayenta-like", 60

    def __init__(self, size):
        super().__init__(size)
        self.points = []

    def look(self, now):
        canary, bad, stable, worse = np.maximum(self.recent, [[1], [0], [1], [0]])
        self.points.append((bad / canary, worse / stable))
        if now % 300:
            return self.fired
        arms = np.stack(self.points).transpose(1, 2, 0)
        open_ = np.flatnonzero(~self.fired)
        high = np.zeros(self.size, dtype=bool)
        for part in np.array_split(open_, max(1, len(open_) // 1000)):
            high[part] = self._high(arms[0][part], arms[1][part])
        return high

    def _high(self, experiment, control):
        n = experiment.shape[1]
        shifts = (experiment[:, :, None] - control[:, None, :]).reshape(len(experiment), n * n)
        rank = max(0, int(n * n / 2 - 2.326 * np.sqrt(n * n * (2 * n + 1) / 12)))
        middle = n * n // 2
        ordered = np.partition(shifts, (rank, middle), axis=1)
        return (ordered[:, rank] > 0) & (ordered[:, rank] > 0.25 * np.abs(ordered[:, middle]))


PEERS = (ZRule, FlaggerRule, ArgoRule, KayentaRule)


class Race:
    """Runs rules on the same windows; keeps when each fired first and what the canary failed until then."""

    def __init__(self, rules, size):
        self.rules = rules
        self.times = {rule.name: np.full(size, np.inf) for rule in rules}
        self.bad = {rule.name: np.zeros(size) for rule in rules}

    def step(self, now, counts, extra=None):
        for rule in self.rules:
            times = self.times[rule.name]
            running = np.isinf(times)
            if extra is not None:
                self.bad[rule.name] += np.where(running, extra, 0.0)
            if running.any():
                times[running & rule.update(now, *counts)] = now
