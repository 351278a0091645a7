"""Thirty and 365 challengers one after another: how many are promoted, and what they cost in all."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
from promotions import World, follow
from scipy.stats import binomtest
from threadpoolctl import threadpool_limits

MOST_ANY, MOST_LOSS = 0.10, 1.0
SAME, QUARTER = World(loss=1.0, fresh=False), World(loss=0.25, fresh=True)
MANY_ROWS = replace(QUARTER, rows=4000)
CASES = {
    "worse by the margin, same rows": (SAME, {}, 300),
    "  every try at the whole alpha": (SAME, {"spending": False}, 60),
    "worse by the margin, new rows": (replace(QUARTER, loss=1.0), {}, 100),
    "worse by half a margin, new rows": (replace(QUARTER, loss=0.5), {}, 100),
    "worse by a quarter, new rows": (QUARTER, {}, 60),
    "  four times as many rows": (MANY_ROWS, {}, 30),
    "  without the anchor": (QUARTER, {"anchored": False}, 20),
    "equal, new rows": (replace(QUARTER, loss=0.0), {}, 30),
    "  without the anchor ": (replace(QUARTER, loss=0.0), {"anchored": False}, 20),
}
CLAIMED_ANY = ("worse by the margin, same rows",)
NOT_OURS = ("  without the anchor", "  without the anchor ", "  every try at the whole alpha")


def measured(world, settings, runs):
    found = [follow(world, seed, **settings) for seed in range(runs)]
    return np.array([one.promoted for one in found]), np.array([one.lost for one in found])


def case(name, world, settings, runs):
    """Print a row and return what missed its bound."""
    promoted, lost = measured(world, settings, runs)
    some = int((promoted > 0).sum())
    low, high = binomtest(some, runs).proportion_ci(0.95, method="wilson")
    share = binomtest(int(promoted.sum()), runs * world.challengers).proportion_ci(0.95, method="wilson")
    print(
        f"{name:34}{world.challengers:6}{runs:6}{some / runs:8.1%} ({low:5.1%} to {high:6.1%})"
        f"{promoted.mean():9.2f} ({share.low:5.1%} to {share.high:5.1%})"
        f"{0.0 - lost.mean():8.2f}{0.0 - lost.max():8.2f}",
        flush=True,
    )
    missed = []
    if name in CLAIMED_ANY and low > MOST_ANY:
        missed.append(f"{name}: any promoted in {low:.1%} or more, allowed {MOST_ANY:.0%}")
    noise = 2.33 * lost.std() / np.sqrt(runs)
    if name not in NOT_OURS and lost.mean() - noise > MOST_LOSS:
        missed.append(f"{name}: lost {lost.mean():.2f} margins, allowed {MOST_LOSS:g}")
    return missed


def main(times=1.0):
    print(f"{'challengers':34}{'tries':>6}{'runs':>6}{'any promoted (95 %)':>27}", end="")
    print(f"{'promoted (share of the tries)':>28}{'gain in margins: mean, least':>17}")
    missed = []
    for tries in (30, 365):
        for name, (world, settings, runs) in CASES.items():
            count = max(10, round(runs * times * (1.0 if tries == 30 else 0.25)))
            with threadpool_limits(1, user_api="blas"):
                missed += case(name, replace(world, challengers=tries), settings, count)
    if missed:
        raise SystemExit("missed: " + "; ".join(missed))


if __name__ == "__main__":
    main(*(float(one) for one in sys.argv[1:2]))
