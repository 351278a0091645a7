"""What a calibration says of blocks further ahead, and what an odd block of one column does to the others."""

from __future__ import annotations

import numpy as np
from bench_skew import numbers, profile
from scipy.stats import binomtest

from airflow_mlops.core.data.profile.profile import merge
from airflow_mlops.core.data.skew.calibration import calibrate
from airflow_mlops.core.data.skew.compare import compare_profiles

ROWS, COLUMNS, AHEAD, SWAY = 5000, 5, 6, 0.1
SAID = ("next", "6th", "any of 6", "doubt", "rolling", "6th", "any of 6", "doubt")
MOST_LOST = 0.1
"""Power that one odd block may cost in the other columns."""


def walk(rng, count):
    steps, place, found = rng.normal(size=(count, COLUMNS)), np.zeros(COLUMNS), []
    for step in steps:
        place = 0.8 * place + 0.6 * step
        found.append(place)
    return np.array(found)


def season(rng, count):
    """A year of 52 blocks, its phase any."""
    phase = rng.uniform(0, 2 * np.pi, COLUMNS)
    return np.sqrt(2) * np.sin(2 * np.pi * np.arange(count)[:, None] / 52 + phase) + 0.3 * rng.normal(
        size=(count, COLUMNS)
    )


HISTORIES = {
    "exchangeable": lambda rng, count: rng.normal(size=(count, COLUMNS)),
    "trend": lambda rng, count: (
        4 * np.arange(count)[:, None] / count * np.eye(COLUMNS)[0] + rng.normal(size=(count, COLUMNS))
    ),
    "yearly season, weeks": season,
    "AR(1) .8": walk,
}


def made(rng, means):
    return profile(ROWS, [rng.multinomial(ROWS, numbers(mean)) for mean in means])


def ahead(history, blocks, seed):
    """Return what is said of each of the next six blocks, by the first calibration and by one that rolls."""
    rng = np.random.default_rng(seed)
    all_blocks = [made(rng, means) for means in SWAY * HISTORIES[history](rng, blocks + AHEAD)]
    told = []
    for first in (lambda _: 0, lambda number: number):
        for number in range(AHEAD):
            known = all_blocks[first(number) : first(number) + blocks]
            fixed = calibration_of(known)
            report = compare_profiles(fixed[0], all_blocks[blocks + number], None, fixed[1])
            told.append((bool(report.skewed_columns), any(test.doubt for test in report.tests)))
    return np.array(told, dtype=bool).reshape(2, AHEAD, 2)


def calibration_of(blocks):
    return merge(*blocks), calibrate(blocks)


def horizon(repetitions=60):
    print(
        f"\nQuiet blocks ahead: {COLUMNS} columns, {ROWS:,} rows, means move by {SWAY} sd, {repetitions} runs"
    )
    print(f"{'history':>22}{'blocks':>8}{'stated':>8}", end="")
    print("".join(f"{name:>10}" for name in SAID))
    for history in HISTORIES:
        for blocks in (10, 21, 42):
            found = np.array([ahead(history, blocks, seed) for seed in range(repetitions)])
            row = []
            for way in range(2):
                loud, unsure = found[:, way, :, 0], found[:, way, :, 1]
                row += [loud[:, 0].mean(), loud[:, -1].mean(), loud.any(axis=1).mean(), unsure.mean()]
            print(
                f"{history:>22}{blocks:>8}{1 / (blocks + 1):>8.0%}" + "".join(f"{x:>10.0%}" for x in row),
                flush=True,
            )


ODD = {
    "none": (0.0, 0),
    "one, .1 sd": (0.1, 1),
    "one, .15 sd": (0.15, 1),
    "one, .3 sd": (0.3, 1),
    "two": (0.15, 2),
}


def odd_block(size, count, blocks, seed):
    """Return whether .3 sd in another column is found, a quiet block is flagged, and the stated chance.

    The odd blocks are in columns that hardly move otherwise: two of five, one odd block each.
    """
    rng = np.random.default_rng(seed)
    means = 0.05 * rng.normal(size=(blocks + 1, COLUMNS)) * np.array([0.1, 0.1, 1, 1, 1])
    for number in range(count):
        means[3 + 4 * number, number] += size
    reference, calibration = calibration_of([made(rng, row) for row in means[:blocks]])
    moved = means[blocks] + 0.3 * np.eye(COLUMNS)[2]
    found, quiet = (
        compare_profiles(reference, made(rng, row), None, calibration).skewed_columns
        for row in (moved, means[blocks])
    )
    return "c2" in found, bool(quiet), calibration.error


def wilson(hits):
    return binomtest(int(hits.sum()), len(hits)).proportion_ci(0.95, method="wilson")


def odd_row(name, blocks, usual, repetitions):
    """Print a row; return the power, and what missed its bound."""
    found = np.array([odd_block(*ODD[name], blocks, seed) for seed in range(repetitions)])
    power, quiet, stated = found.mean(axis=0)
    low, high = wilson(found[:, 0])
    print(
        f"{name:>22}{blocks:>8}{power:>11.0%} ({low:4.0%} to {high:4.0%}){quiet:>13.0%}{stated:>9.1%}",
        flush=True,
    )
    missed = []
    if usual is not None and high < usual - MOST_LOST:
        missed.append(f"{name}, {blocks} blocks: {power:.0%} found, {usual:.0%} without")
    if wilson(found[:, 1]).low > stated:
        missed.append(f"{name}, {blocks} blocks: {quiet:.0%} flagged, {stated:.1%} stated")
    return power, missed


def odd_blocks(repetitions=100):
    """Print the table and return what missed its bound."""
    print(f"\nOdd blocks in columns that hardly move: .3 sd found in another column ({repetitions} runs)")
    print(f"{'odd blocks':>22}{'blocks':>8}{'.3 sd found (95 %)':>26}{'quiet flagged':>15}{'stated':>8}")
    missed = []
    for blocks in (21, 42):
        usual = None
        for name in ODD:
            power, more = odd_row(name, blocks, usual, repetitions)
            usual, missed = power if usual is None else usual, missed + more
    return missed


if __name__ == "__main__":
    horizon()
    if missed := odd_blocks():
        raise SystemExit("missed: " + "; ".join(missed))
