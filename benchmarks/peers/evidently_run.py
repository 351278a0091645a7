"""Evidently: drift report of two windows; prints what it found. Runs in an environment of its own."""

from __future__ import annotations

import json
import sys

import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset


def main(reference: str, current: str) -> None:
    """Compare two parquet files and print the columns found to have drifted."""
    before, now = pd.read_parquet(reference), pd.read_parquet(current)
    snapshot = Report([DataDriftPreset()]).run(current_data=now, reference_data=before)
    tests = [m["config"] | {"value": float(m["value"])} for m in snapshot.dict()["metrics"][1:]]
    drifted = [t["column"] for t in tests if _drifted(t)]
    print(json.dumps({"columns": len(tests), "drifted": drifted}))


def _drifted(test: dict) -> bool:
    """A p-value is drift when low, a distance when high; the method's name says which."""
    low = test["value"] < test["threshold"]
    return low if "p_value" in test["method"] else not low


if __name__ == "__main__":
    main(*sys.argv[1:])
