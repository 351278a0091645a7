"""Skew of 1M rows against 1M x 40 columns, cold, as one process: this package beside other tools.

CPU seconds of whole processes, reading and imports included; ratios are of user and system time together.
Every tool profiles both windows and reports drift; one column drifts, and a tool that does not find it
fails. The others run in environments of their own below build/peers, built from the pins in benchmarks/peers.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import data
import process
from peers.environment import NotInstalledError, python_of

ROWS = 1_000_000
LIMIT_SECONDS = 600
OWN_USER_SECONDS = 6.0
SHIFT = 1.0
PEERS = {"tfdv": 3.0, "evidently": 20.0}
"""How many times our CPU each has to take."""
HERE = Path(__file__).parent


def ours(reference: str, current: str) -> process.Cost:
    command = (sys.executable, "-m", "airflow_mlops.cli", "skew", reference, current, "--json")
    return process.run(command, limit=LIMIT_SECONDS)


def peer(name: str, reference: str, current: str) -> process.Cost:
    command = (python_of(name), str(HERE / "peers" / f"{name}_run.py"), reference, current)
    return process.run(command, limit=LIMIT_SECONDS)


def drifted(name: str, cost: process.Cost) -> set[str]:
    """Return the columns a run found to drift.

    :raises NotInstalledError: it ended without an answer.
    """
    try:
        answer = json.loads(cost.output.splitlines()[-1])
    except (IndexError, ValueError) as error:
        lines = cost.errors.strip().splitlines() or ["no message"]
        msg = f"{name} ended with code {cost.code}: {lines[-1][:200]}"
        raise NotInstalledError(msg) from error
    if "verdict" in answer:
        return {f["subject"] for f in answer["verdict"]["findings"] if f["outcome"] == "fail"}
    return set(answer["drifted"])


def line(name: str, cost: process.Cost, *, own: process.Cost, wanted: str, holds: bool) -> bool:
    """Print one row of the table; say whether the limit holds and the drift was found."""
    ratio = f"{(cost.user + cost.system) / (own.user + own.system):.1f}x"
    figures = f"{cost.user:10.2f}{cost.system:8.2f}{cost.wall:8.1f}{cost.peak_mb:9.0f}{ratio:>9}"
    found = {data.MOVED} if cost.stopped else drifted(name, cost)
    told = (
        f"stopped after {LIMIT_SECONDS} s" if cost.stopped else f"found {', '.join(sorted(found)) or 'none'}"
    )
    print(f"{name:16}{figures}   {told}; wanted {wanted}: {'yes' if holds else 'NO'}")
    return holds and data.MOVED in found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        reference = str(data.write(Path(folder) / "reference.parquet", rows))
        current = str(data.write(Path(folder) / "current.parquet", rows, seed=1, shift=SHIFT))
        print(f"{rows:,} against {rows:,} rows x 40 columns, {os.cpu_count()} cores")
        print(f"{'':16}{'user CPU s':>10}{'system':>8}{'wall':>8}{'peak MB':>9}{'ratio':>9}")
        own = ours(reference, current)
        fast = own.user <= OWN_USER_SECONDS or rows != ROWS
        wanted = f"{OWN_USER_SECONDS:g} user CPU s or less"
        good = line("airflow-mlops", own, own=own, wanted=wanted, holds=fast)
        for name, needed in PEERS.items():
            try:
                cost = peer(name, reference, current)
                holds = cost.user + cost.system >= needed * (own.user + own.system)
                good &= line(name, cost, own=own, wanted=f"{needed:g}x or more", holds=holds)
            except NotInstalledError as reason:
                print(f"{name:16}skipped: {reason}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
