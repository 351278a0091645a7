"""One profile pass beside Arrow's decode: CPU and peak memory of whole processes, and how both grow.

``decode`` reads the file into one Arrow table, ``stream`` decodes it batch by batch and drops each. What a
process pays before its first row (imports, compiling the loops) is in the figures; ``--grow`` draws a plot
of CPU by rows and columns, ``--huge`` profiles 100M rows.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import data
import process

LIMIT_SECONDS = 1800
DECODE_RATIO, PEAK_MB = 1.3, 600
COLD_SECONDS, CACHED_SECONDS = 6, 4

DECODE = "import sys, pyarrow.parquet as pq; pq.read_table(sys.argv[1])"
STREAM = "import sys, pyarrow.parquet as pq\nfor batch in pq.ParquetFile(sys.argv[1]).iter_batches(): pass"
PROFILE = """
import sys
from airflow_mlops.backends.profiling.files.arrow import profile_window
from airflow_mlops.core.data.window import Window
profile_window(Window(uri=sys.argv[1]))
"""
CACHED = """
import json, sys
from airflow_mlops.backends.profiling.files.arrow import profile_window
from airflow_mlops.core.data.profile.profile import Profile
from airflow_mlops.core.data.skew.compare import compare_profiles
from airflow_mlops.core.data.window import Window
reference = Profile.from_json(json.loads(open(sys.argv[1]).read()))
current = profile_window(Window(uri=sys.argv[2]), bins_from=reference)
print(compare_profiles(reference, current).verdict.outcome)
"""


def run(program: str, *arguments: object) -> process.Cost:
    cost = process.run((sys.executable, "-c", program, *map(str, arguments)), limit=LIMIT_SECONDS)
    if cost.code:
        sys.exit(f"ended with code {cost.code}: {cost.errors[-500:]}")
    return cost


def cli(*arguments: object) -> process.Cost:
    return process.run((sys.executable, "-m", "airflow_mlops.cli", *map(str, arguments)), limit=LIMIT_SECONDS)


def row(name: str, cost: process.Cost, note: str = "") -> None:
    print(f"{name:34}{cost.user:8.2f}{cost.system:8.2f}{cost.wall:8.1f}{cost.peak_mb:9.0f}   {note}")


def within(holds: object, text: str) -> str:
    return f"{text}: {'yes' if holds else 'NO'}"


def compare(folder: Path) -> bool:
    """1M against 1M rows, cold and with the reference's stored profile."""
    reference, current = (data.write(folder / f"{i}.parquet", 1_000_000, seed=i) for i in (1, 2))
    cold = cli("skew", reference, current)
    good = [cold.user <= COLD_SECONDS]
    row("skew of 1M against 1M, cold", cold, within(good[0], f"wanted {COLD_SECONDS} user s or less"))
    stored = folder / "profile.json"
    cli("profile", reference, "-o", stored)
    cached = run(CACHED, stored, current)
    good.append(cached.user <= CACHED_SECONDS)
    row("skew of 1M, stored reference", cached, within(good[1], f"wanted {CACHED_SECONDS} user s or less"))
    return all(good)


def scan(path: Path, millions: int) -> bool:
    decode, stream, profile = run(DECODE, path), run(STREAM, path), run(PROFILE, path)
    spent = {cost: cost.user + cost.system for cost in (decode, stream, profile)}
    ratio, lean = spent[profile] / spent[decode], spent[profile] / spent[stream]
    row(f"decode of {millions}M", decode)
    row(f"stream of {millions}M", stream, "decodes and drops")
    fast, small = ratio <= DECODE_RATIO, profile.peak_mb <= PEAK_MB
    note = f"{ratio:.2f} x decode, {within(fast, f'wanted {DECODE_RATIO} or less')}; {lean:.2f} x stream; "
    row(f"profile of {millions}M", profile, note + within(small, f"wanted {PEAK_MB} MB or less"))
    return fast and small


def grow(folder: Path, picture: str) -> None:
    """Plot CPU by rows at 40 columns and by columns at 1M rows."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    by_rows = {n: run(PROFILE, data.write_many(folder / "rows.parquet", n)) for n in (1, 2, 4, 8)}
    by_columns = {n: run(PROFILE, data.write_wide(folder / "columns.parquet", n)) for n in (40, 80, 160, 320)}
    for axis, costs, label in zip(
        axes, (by_rows, by_columns), ("million rows of 40 columns", "columns of 1M rows"), strict=True
    ):
        axis.plot(list(costs), [c.user + c.system for c in costs.values()], "o-", label="CPU s")
        axis.plot(list(costs), [c.peak_mb / 100 for c in costs.values()], "s--", label="peak memory, 100 MB")
        axis.set(xlabel=label, ylim=(0, 8), xlim=(0, None))
        axis.grid(alpha=0.3)
        axis.legend()
        for n, cost in costs.items():
            row(f"profile, {n} {label}", cost)
    figure.savefig(picture, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=int, default=10, help="rows of the profile pass")
    parser.add_argument("--grow", metavar="PNG", help="plot the growth too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"40 columns; whole processes\n{'':34}{'user s':>8}{'system':>8}{'wall':>8}{'peak MB':>9}")
        good = compare(folder)
        good &= scan(data.write_many(folder / "many.parquet", options.millions), options.millions)
        if options.grow:
            grow(folder, options.grow)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
