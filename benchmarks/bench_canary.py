"""Time to roll back and false rollbacks of the share test, beside a repeated z test on the same streams."""

from __future__ import annotations

import numpy as np

from airflow_mlops.core.rollout.evidence import Decision, ErrorShareTest

RPS, SECONDS, WEIGHT, BASE, WINDOWS, REPETITIONS = 50, 2, 0.25, 0.01, 1800, 200


def share_rule(canary, bad, stable, worse):
    test = ErrorShareTest(alpha=0.05)
    for n, counts in enumerate(zip(canary, bad, stable, worse, strict=True), start=1):
        if test.update(*map(int, counts)).decision is Decision.ROLL_BACK:
            return n * SECONDS
    return None


def z_rule(canary, bad, stable, worse):
    n_c, k_c, n_s, k_s = (np.cumsum(x) for x in (canary, bad, stable, worse))
    pooled = (k_c + k_s) / (n_c + n_s)
    spread = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-12) * (1 / n_c + 1 / n_s))
    hits = np.flatnonzero((k_c / n_c - k_s / n_s) / spread > 1.645)
    return int(hits[0] + 1) * SECONDS if hits.size else None


def streams(rng, rate, cluster):
    canary = rng.poisson(RPS * SECONDS * WEIGHT, WINDOWS) + 1
    stable = rng.poisson(RPS * SECONDS * (1 - WEIGHT), WINDOWS) + 1
    on = rng.random(WINDOWS) < 1 / cluster
    healthy = np.where(on, min(1.0, BASE * cluster), 0.0)
    canary_rate = healthy if rate == BASE else np.full(WINDOWS, rate)
    return canary, rng.binomial(canary, canary_rate), stable, rng.binomial(stable, healthy)


def main():
    print(f"{RPS} requests/s, {WEIGHT:.0%} canary, base error {BASE:.0%}, {REPETITIONS} runs of 60 min")
    print(f"{'canary error rate':24}{'share test':>22}{'repeated z test':>22}")
    for cluster in (1, 3, 10):
        row(f"{BASE:.0%} (healthy, x{cluster})", BASE, cluster)
    for rate in (0.02, 0.05, 0.20):
        row(f"{rate:.0%}", rate, 1)


def row(label, rate, cluster):
    rng = np.random.default_rng(1)
    times = [
        [rule(*s) for rule in (share_rule, z_rule)]
        for s in (streams(rng, rate, cluster) for _ in range(REPETITIONS))
    ]
    cells = []
    for column in zip(*times, strict=True):
        found = [t for t in column if t is not None]
        median = f"{np.median(found):.0f} s" if found else "never"
        cells.append(f"{len(found) / REPETITIONS:.1%} in {median}")
    print(f"{label:24}{cells[0]:>22}{cells[1]:>22}")


if __name__ == "__main__":
    main()
