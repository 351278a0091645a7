"""Error rates of the skew rule on text columns with many values: random samples, and changes of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.core.data.skew.compare import compare_profiles

QUIET_RUNS, CHANGED_RUNS = 100, 20
SIZES = [(500, 500), (2000, 2000), (10_000, 10_000), (50_000, 50_000), (50_000, 500), (1000, 50_000)]
NEW = 200_000
WORDS = pa.array([f"w{i}" for i in range(2 * NEW + 1)])


def zipf(values, exponent):
    shares = 1 / np.arange(1, values + 1) ** exponent
    return shares / shares.sum()


WORLDS = {
    "words": zipf(100_000, 1.1),
    "200 words": zipf(200, 1.0),
    "200 names": zipf(200, 0.0),
    "3,000 names": zipf(3000, 0.5),
    "10,000 names": zipf(10_000, 0.0),
    "keys": zipf(NEW, 0.0),
}
RISING = {name: np.cumsum(shares)[:-1] for name, shares in WORLDS.items()}
CHANGES = {
    "new value 5 %": lambda rng, x, _: np.where(rng.random(len(x)) < 0.05, NEW, x),
    "100 new 5 %": lambda rng, x, _: np.where(
        rng.random(len(x)) < 0.05, NEW + rng.integers(0, 100, len(x)), x
    ),
    "two swapped": lambda _rng, x, _: np.select([x == 0, x == 1], [1, 0], x),
    "head to tail": lambda rng, x, k: np.where(
        (x < 10) & (rng.random(len(x)) < 0.5), rng.integers(10, k, len(x)), x
    ),
    "half vanish": lambda _rng, x, _: x // 2 * 2,
    "all replaced": lambda _rng, x, _: x + NEW,
}


def draw(rng, world, rows):
    return np.searchsorted(RISING[world], rng.random(rows), side="right")


def profiled(columns, bins_from=None):
    codes = {
        name: pa.DictionaryArray.from_arrays(pa.array(numbers.astype(np.int32)), WORDS)
        for name, numbers in columns.items()
    }
    return profile_table(pa.table(codes), bins_from=bins_from)


def quiet(n, m):
    """Return how often each world is flagged without a change, and any of them."""
    rng, hits = np.random.default_rng(n + m), np.zeros(len(WORLDS) + 1)
    for _ in range(QUIET_RUNS):
        reference = profiled({world: draw(rng, world, n) for world in WORLDS})
        current = profiled({world: draw(rng, world, m) for world in WORLDS}, reference)
        found = compare_profiles(reference, current).skewed_columns
        hits += [*(world in found for world in WORLDS), bool(found)]
    return hits / QUIET_RUNS


def changed(world, rows):
    """Return how often each change of a world is found."""
    rng, hits = np.random.default_rng(rows), np.zeros(len(CHANGES))
    for _ in range(CHANGED_RUNS):
        reference = profiled({"c": draw(rng, world, rows)})
        for i, change in enumerate(CHANGES.values()):
            numbers = change(rng, draw(rng, world, rows), len(WORLDS[world]))
            hits[i] += bool(compare_profiles(reference, profiled({"c": numbers}, reference)).skewed_columns)
    return hits / CHANGED_RUNS


def long_tails():
    """Print both tables."""
    print(f"\nLong tails: random samples of one population flagged ({QUIET_RUNS} runs each)")
    print(f"{'rows':20}" + "".join(f"{world:>14}" for world in (*WORLDS, "any")))
    for n, m in SIZES:
        print(f"{f'{n:,} / {m:,}':20}" + "".join(f"{rate:>14.0%}" for rate in quiet(n, m)))
    print(f"\nLong tails: changes found ({CHANGED_RUNS} runs each)")
    print(f"{'':28}" + "".join(f"{change:>15}" for change in CHANGES))
    for world in ("words", "200 words", "3,000 names", "10,000 names"):
        for rows in (500, 2000, 10_000, 50_000):
            rates = "".join(f"{rate:>15.0%}" for rate in changed(world, rows))
            print(f"{world:14}{rows:>9,} rows{rates}")


if __name__ == "__main__":
    long_tails()
