"""105 expectations on 1M rows x 35 columns: from a profile, and by Great Expectations on rows in pandas.

Both read the same parquet file and answer the same rules, each in a process of its own; their verdicts must
agree.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
from data import MILLION, table
from process import run

from airflow_mlops.backends.rules.schema_file import parse_schema
from airflow_mlops.core.data.expectations.rule import Rule
from airflow_mlops.core.data.expectations.types import TYPE_NAMES
from airflow_mlops.core.data.profile.column import Kind
from airflow_mlops.core.data.schema.schema import Schema

COLUMNS = 35
TARGET = 7.0
LIMIT = 600.0
TYPES, NULLS = "expect_column_values_to_be_in_type_list", "expect_column_values_to_not_be_null"
RANGE, SET = "expect_column_values_to_be_between", "expect_column_values_to_be_in_set"


def schema(names):
    """Return three rules a column; of those on values, every fifth is broken."""
    rules = []
    for index, name in enumerate(names):
        broken = index % 5 == 0
        if name.startswith("category"):
            kind, values = Kind.STRING, [f"v{i}" for i in range(49 if broken else 50)]
            last = Rule(type=SET, kwargs={"column": name, "value_set": values})
        else:
            kind = Kind.INTEGER if name.startswith("integer") else Kind.NUMBER
            high = 3.0 if broken else 1000.0
            last = Rule(type=RANGE, kwargs={"column": name, "min_value": -1000.0, "max_value": high})
        rules.append(Rule(type=TYPES, kwargs={"column": name, "type_list": TYPE_NAMES[kind]}))
        rules.append(Rule(type=NULLS, kwargs={"column": name, "mostly": 0.95}))
        rules.append(last)
    return Schema(name="bench", expectations=tuple(rules))


def from_profile(path, rules):
    from airflow_mlops.backends.profiling.files.arrow import profile_window
    from airflow_mlops.backends.rules.great_expectations import check_schema
    from airflow_mlops.core.data.window import Window

    begin = time.process_time()
    window = Window(uri=str(path))
    verdict = check_schema(rules, profile_window(window), window, "training")
    return verdict.findings, time.process_time() - begin


def on_rows(path, rules):
    from airflow_mlops.backends.profiling.files.dataset import read_window
    from airflow_mlops.backends.rules.great_expectations import as_frame, evaluate_rows
    from airflow_mlops.core.data.window import Window

    begin = time.process_time()
    findings = evaluate_rows(rules.expectations, as_frame(read_window(Window(uri=str(path)))))
    return findings, time.process_time() - begin


WAYS = {"profile": from_profile, "rows": on_rows}


def child(way, path, suite):
    findings, seconds = WAYS[way](path, parse_schema(Path(suite).read_text(), suite))
    print(json.dumps({"outcomes": [str(f.outcome) for f in findings], "work": seconds}))


def measure(way, path, suite):
    cost = run([sys.executable, "-W", "ignore", __file__, way, str(path), str(suite)], limit=LIMIT)
    assert cost.code == 0, cost.errors
    return json.loads(cost.output.splitlines()[-1]), cost.user + cost.system


def main():
    with tempfile.TemporaryDirectory() as folder:
        path, suite = Path(folder) / "rows.parquet", Path(folder) / "suite.yaml"
        rows = table(MILLION).select(range(COLUMNS))
        pq.write_table(rows, path)
        suite.write_text(schema(rows.column_names).to_yaml())
        measure("profile", path, suite)  # compiles the loops, once per installation
        (ours, whole), (theirs, peer) = (measure(way, path, suite) for way in WAYS)
    assert ours["outcomes"] == theirs["outcomes"], "the two give different verdicts"
    count, failed = len(ours["outcomes"]), ours["outcomes"].count("fail")
    print(f"{count} expectations on {MILLION:,} rows x {COLUMNS} columns, {failed} fail; verdicts are equal")
    print("CPU seconds, reading included   profile    rows   ratio")
    print(f"whole process, imports too {whole:12.2f}{peer:8.2f}{peer / whole:8.1f}")
    mine, other = ours["work"], theirs["work"]
    print(f"without imports            {mine:12.2f}{other:8.2f}{other / mine:8.1f}")
    print(f"target of the latter: {TARGET:.0f} or more")


if __name__ == "__main__":
    child(*sys.argv[1:]) if len(sys.argv) > 1 else main()
