"""The tables of benchmarks/schemas, asserted in short: a schema lives on natural windows and finds faults."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn import datasets

sys.path.insert(0, str(Path(__file__).parents[4] / "benchmarks" / "schemas"))
from bench_schemas import REFERENCE, Alarms, natural, power, propose
from natural_windows import cut, generated

from airflow_mlops.backends.rules.propose import compare_with_data
from airflow_mlops.core.data.window import Window

SEEDS = range(4)


@pytest.mark.parametrize("reference", [REFERENCE, 1])
def test_no_natural_window_fails_and_five_in_a_hundred_warn_at_most(reference):
    alarms = Alarms()
    for seed in SEEDS:
        natural(generated(seed), reference, alarms)
    for load in (datasets.load_iris, datasets.load_wine, datasets.load_diabetes):
        natural(cut(load(as_frame=True).frame.sample(frac=1, random_state=0)), reference, alarms)
    assert alarms.windows >= 40
    assert alarms.failed == 0
    assert alarms.warned <= 0.05 * alarms.windows, alarms.why


def test_faults_are_found():
    told = {}
    for seed in SEEDS[:2]:
        power(generated(seed), told, np.random.default_rng(seed))
    found = {fault: counts["found"] / counts["all"] for fault, counts in told.items()}
    stop = {fault for fault, counts in told.items() if counts["critical"] == counts["all"]}
    assert stop >= {
        "column missing",
        "number became text",
        "text became numbers",
        "nulls in 100%",
        "key repeated in 5 %",
    }
    assert found["column too many"] == found["category garbled in 30 %"] == found["unit times 1000"] == 1
    assert found["unit times 100"] > 0.85
    assert found["nulls in 60%"] == 1
    assert found["nulls in 30%"] > 0.9
    assert found["-999 in 20 %"] > 0.85


def test_schema_does_not_differ_from_the_data_that_it_was_inferred_from(tmp_path):
    import pyarrow.parquet as pq

    for number, table in enumerate(generated(0)[:REFERENCE]):
        pq.write_table(table, tmp_path / f"w{number}.parquet")
    schema = propose(generated(0)[:REFERENCE])
    assert compare_with_data(schema, Window(uri=str(tmp_path))).changes == ()
