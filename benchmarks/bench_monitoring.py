"""False alarms of champions that never change, windows until a drop is found, labels that are missing."""

from __future__ import annotations

import sys
import time

import numpy as np
from bench_decisions import wilson
from monitoring import PROMISES, STREAMS, delays, false_alarms, outcomes
from threadpoolctl import threadpool_limits

MODELS, POOL, DROPPED, REPETITIONS = 500, 500, 150, 500
MOST_FALSE, MOST_WINDOWS = 0.07, 4
FOUND = [("roc_auc, 10 % positives", 2000), ("accuracy", 500), ("accuracy", 2000), ("rmse", 500)]
LACKING = [
    (kind, name) for kind in ("at random", "errors", "called") for name in ("accuracy", "roc_auc", "recall")
]


def alarms(streams, times):
    """Print the share of models that ever alarm, and the windows until twice the allowed drop is found."""
    missed, models = [], round(MODELS * times)
    print(f"{'100 windows without change':32} promise  window by window    ours  95 % interval")
    for stream in streams:
        begin, rng = time.process_time(), np.random.default_rng(7)
        quiet = stream.windows(rng, round(POOL * times))
        for rows in PROMISES:
            ours, plain = false_alarms(stream, rows, models, quiet)
            low, high = wilson(ours, models)
            print(f"{stream.name:32} {rows:7} {plain:17.1%} {ours:7.1%}  {low:.1%} to {high:.1%}", flush=True)
            missed += [f"{stream.name}: {ours:.1%} alarm"] if high > stream.bar else []
        bad = stream.windows(rng, round(DROPPED * times), 2 * stream.drop)
        for rows in (rows for name, rows in FOUND if name == stream.name):
            taken, late = (delays(stream, rows, models, before, bad) for before in ([], quiet))
            soon = (taken <= MOST_WINDOWS).mean()
            low, high = wilson(soon, models)
            print(
                f"  drop of {2 * stream.drop:g}: found after a median of {np.median(taken):.0f} windows, "
                f"in {MOST_WINDOWS} by {soon:.0%} ({low:.0%} to {high:.0%}); after 30 quiet ones "
                f"{np.median(late):.0f}; promise {rows}",
                flush=True,
            )
            missed += [f"{stream.name}: drop found late"] if np.median(taken) > MOST_WINDOWS else []
        edge = stream.windows(rng, round(DROPPED * times), stream.drop)
        exact, _ = false_alarms(stream, PROMISES[-1], round(models / 2), edge)
        print(f"  drop of {stream.drop:g}, the allowed one: {exact:.0%} alarm in 100 windows, "
              f"promise {PROMISES[-1]}; {time.process_time() - begin:.0f} s", flush=True)  # fmt: skip
    return missed


def labels(times):
    """Print how often a window passes and fails of which labels are missing."""
    missed, repetitions = [], round(REPETITIONS * times)
    print(
        "labels missing                   labelled ones alone: pass, fail    ours: pass, fail  95 % interval"
    )
    for kind, name in LACKING:
        plain = outcomes(kind, name, repetitions, told=False)
        ours = outcomes(kind, name, repetitions)
        wrong = ours[1] if kind == "at random" else sum(ours)
        low, high = wilson(wrong, repetitions)
        print(
            f"{kind + ', ' + name:32} {plain[0]:26.1%} {plain[1]:6.1%} {ours[0]:11.1%} {ours[1]:6.1%}  "
            f"{low:.1%} to {high:.1%}",
            flush=True,
        )
        missed += [f"{kind}, {name}: {wrong:.1%}"] if high > MOST_FALSE else []
    return missed


def main(times=1.0, only=""):
    with threadpool_limits(1, user_api="blas"):
        missed = [] if only == "labels" else alarms([one for one in STREAMS if only in one.name], times)
        missed += labels(times) if only in ("", "labels") else []
    if missed:
        raise SystemExit("missed: " + "; ".join(missed))


if __name__ == "__main__":
    main(*(kind(one) for kind, one in zip((float, str), sys.argv[1:], strict=False)))
