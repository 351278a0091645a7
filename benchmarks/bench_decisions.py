"""False claims where comparisons are easily wrong, and power where they are not, beside a plain rule."""

from __future__ import annotations

import sys
import time

from decisions import CELLS, GOOD, rates
from scipy.stats import binomtest
from threadpoolctl import threadpool_limits


def wilson(share, repetitions):
    """Wilson's score interval (95 %) of a share observed in so many repetitions."""
    return binomtest(round(share * repetitions), repetitions).proportion_ci(0.95, method="wilson")


def main(times=1.0):
    missed = []
    for title, cells in (("false claims, allowed 5 %", CELLS), ("equal challengers that pass", GOOD)):
        print(f"{title:42} plain rule    ours  95 % interval")
        for cell in cells:
            begin, repetitions = time.process_time(), round(cell.repetitions * times)
            with threadpool_limits(1, user_api="blas"):
                ours, plain = rates(cell, repetitions)
            low, high = wilson(ours, repetitions)
            met = high >= cell.bar if cell.is_good else high <= cell.bar
            said = "" if met else f"  MISSED: {cell.bar:.0%}"
            seconds = f"{repetitions} times, {time.process_time() - begin:.0f} s"
            print(
                f"{cell.name:42} {plain:9.1%} {ours:8.1%}  {low:.1%} to {high:.1%}{said}  {seconds}",
                flush=True,
            )
            missed += [] if met else [cell.name]
    if missed:
        raise SystemExit("missed: " + "; ".join(missed))


if __name__ == "__main__":
    main(*(float(one) for one in sys.argv[1:2]))
