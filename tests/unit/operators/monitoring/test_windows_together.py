"""Windows of a champion one after another, and predictions without a label."""

from __future__ import annotations

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import candidate, promotion

from airflow_mlops.backends.evidence.protocol import EvidenceKey
from airflow_mlops.core.monitoring.performance_policy import PerformancePolicy
from airflow_mlops.core.training.job import DatasetSpec
from airflow_mlops.operators.monitoring import CheckPerformanceOperator

ROWS, HELD, ACCURACY = 500, 2000, 0.9
KEYS = DatasetSpec(target="y", key=("id",))
POLICY = PerformancePolicy(metric="accuracy", max_drop=0.02, resamples=200)


@pytest.fixture
def registered(world):
    """Registers a champion that was right on 9 of 10 held-back rows."""

    def register(run_id):
        run = world.evidence.open(EvidenceKey(model="m", dag_id="m__training", run_id=run_id))
        world.evidence.write_json(run, "candidate.json", candidate(classes=()).to_json())
        value = {
            "metric": "accuracy",
            "model": "challenger",
            "value": ACCURACY,
            "lower": 0.889,
            "upper": 0.911,
        }
        report = {"values": [value], "alpha": 0.05, "rows": HELD}
        world.evidence.write_json(run, "validation_report.json", report)
        before = world.registry.alias("m", "champion")
        version = world.registry.register("m", run, f"models:/{run_id}", {}).version
        world.registry.promote(promotion("m", before, version))
        return version

    return register


@pytest.fixture
def arrive(world, tmp_path):
    """Logs what a version answered in a partition, each a while after the one before, and stores labels."""
    (tmp_path / "lake").mkdir()

    def write(partition, version, accuracy=ACCURACY, *, labelled=None, unlabelled="left out", seed=0):
        rng, month = np.random.default_rng([seed, int(partition[-2:])]), int(partition[-2:])
        labels = rng.integers(0, 2, ROWS)
        said = np.where(rng.permutation(ROWS) < accuracy * ROWS, labels, 1 - labels)
        scores = np.where(said > 0, 0.8, 0.2)
        folder = world.log_dir / "m" / version
        folder.mkdir(parents=True, exist_ok=True)
        lines = [
            {
                "request_id": f"{partition}-{row}",
                "time": 1e9 + 1e6 * month + row,
                "version": version,
                "status": 200,
                "inputs": {"x": 1.0},
                "prediction": [1 - score, score],
            }
            for row, score in enumerate(scores)
        ]
        (folder / f"{partition}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        there = np.ones(ROWS, dtype=bool) if labelled is None else labelled(labels, scores)
        table = pa.table(
            {
                "id": [f"{partition}-{row}" for row in range(ROWS)],
                "y": pa.array(labels, mask=~there),
                "customer": [f"c{row // 10}" for row in range(ROWS)],
            }
        )
        if unlabelled == "left out":
            table = table.filter(pa.array(there))
        pq.write_table(table, tmp_path / "lake" / f"{partition}.parquet")

    return write


@pytest.fixture
def check(run, tmp_path):
    def execute(partition, run_id=None, policy=POLICY, **more):
        operator = CheckPerformanceOperator(
            task_id="t",
            model="m",
            uri=str(tmp_path / "lake"),
            partition=partition,
            data=KEYS,
            policy=policy,
            **more,
        )
        return run(operator, run_id=run_id or f"run of {partition}", partition=partition)

    return execute


def alarm(verdict):
    (found,) = [finding for finding in verdict["findings"] if finding["check"] == "alarm"]
    return found


def test_drop_that_no_window_shows_alone_is_found_by_several(registered, arrive, check, world):
    version, found = registered("first"), []
    for month in ("2013-01", "2013-02", "2013-03", "2013-04", "2013-05", "2013-06"):
        arrive(month, version, 0.868)
        found.append(check(month))
    outcomes = [verdict["outcome"] for verdict in found]
    assert (outcomes[0], outcomes[-1]) == ("pass", "fail")
    assert {verdict["findings"][0]["outcome"] for verdict in found} == {"pass"}
    assert alarm(found[-1])["reason"].startswith("6 windows: accuracy 0.8680 from 2013-01 on, worse than")
    stored = world.evidence.read_json("m__stage/run of 2013-06", "performance_report.json")
    assert (stored["alarm"]["windows"], stored["seen"]["rows"]) == (6, ROWS)


def test_window_judged_twice_counts_once_and_a_late_one_takes_its_place(registered, arrive, check):
    version = registered("first")
    for month in ("2013-03", "2013-01", "2013-02"):
        arrive(month, version)
        assert check(month)["outcome"] == "pass"
    arrive("2013-01", version, 0.7)
    again = check("2013-01", run_id="again")
    assert alarm(again)["reason"].startswith("3 windows:")
    assert "from 2013-01 on" in alarm(again)["reason"]
    assert alarm(check("2013-01", run_id="again")) == alarm(again)  # the task is cleared


def test_new_champion_and_another_metric_start_anew(registered, arrive, check):
    first = registered("first")
    for month in ("2013-01", "2013-02"):
        arrive(month, first, 0.7)
        verdict = check(month)
    assert (verdict["outcome"], alarm(verdict)["reason"][:9]) == ("fail", "2 windows")
    second = registered("second")
    arrive("2013-03", second)
    verdict = check("2013-03")
    assert (verdict["outcome"], alarm(verdict)["reason"][:9]) == ("pass", "1 windows")


def test_inconclusive_window_is_counted_as_one(registered, arrive, check):
    version = registered("first")
    arrive("2013-01", version)
    check("2013-01")
    arrive("2013-02", version, labelled=lambda labels, scores: np.arange(ROWS) < 100)
    verdict = check("2013-02")
    assert verdict["outcome"] == "inconclusive"
    assert alarm(verdict)["reason"].startswith("1 windows (1 more were inconclusive): ")


@pytest.mark.parametrize("unlabelled", ["left out", "null"])
def test_missing_labels_that_could_turn_a_pass_leave_it_open(registered, arrive, check, unlabelled):
    version = registered("first")
    arrive(
        "2013-01", version, labelled=lambda labels, scores: np.arange(ROWS) % 20 > 0, unlabelled=unlabelled
    )
    arrive("2013-02", version)  # answered later: not of this window
    verdict = check("2013-01")
    assert verdict["outcome"] == "inconclusive"
    reason = verdict["findings"][0]["reason"]
    assert re.search(r"; [45]\.\d% of (49\d|500) predictions have no label", reason)
    assert reason.endswith("the missing labels could turn a pass")


def test_labels_of_predicted_positives_only_are_no_evidence(registered, arrive, check):
    version = registered("first")
    arrive("2013-01", version, 0.7, labelled=lambda labels, scores: scores > 0.5, unlabelled="null")
    verdict = check("2013-01")
    assert verdict["outcome"] == "inconclusive"
    assert "labels are not missing at random" in verdict["findings"][0]["reason"]
    assert alarm(verdict)["reason"] == "no window of this champion counts (1 more were inconclusive)"


def test_customers_are_drawn_together(registered, arrive, check, world):
    version = registered("first")
    arrive("2013-01", version)
    check("2013-01", run_id="rows")
    check("2013-01", run_id="customers", entity=("customer",))
    units = [
        world.evidence.read_json(f"m__stage/{name}", "performance_report.json")["seen"]["units"]
        for name in ("rows", "customers")
    ]
    assert units == [ROWS, ROWS // 10]


def test_stored_window_that_cannot_be_read_is_left_out(registered, arrive, check, world):
    version = registered("first")
    for month in ("2013-01", "2013-02"):
        arrive(month, version)
        check(month)
    world.evidence.set_tags("m__stage/run of 2013-01", {"mlops.performance.window": "{"})
    assert alarm(check("2013-02"))["reason"].startswith("1 windows: ")
