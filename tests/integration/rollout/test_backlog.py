"""Several partitions arrive at once under a real Airflow: the newest window's version serves, no other."""

from __future__ import annotations

import json
import shutil

import pytest
from standing import pause, wait_for_state

from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS

pytestmark = [pytest.mark.integration, pytest.mark.slow]
BOTH = ["2013-01", "2013-02"]


def window_of(airflow, model, version):
    return json.loads(airflow.registry.version(model, version).tags["mlops.partitions"])


def ended(airflow, dag_id, partition):
    """Wait until the run of a partition has ended well; return its tasks' states and its gate's log."""
    run = airflow.api.wait_for_partition(dag_id, partition, 120)
    assert airflow.api.wait_for_run(dag_id, run)["state"] == "success"
    states = {name: task["state"] for name, task in airflow.api.tasks(dag_id, run).items()}
    return states, airflow.api.log(dag_id, run, "retrain_gate")


def test_of_two_partitions_told_together_the_older_one_last_the_newer_version_serves(airflow, clients):
    training, rollout = "backlog__training", "backlog__rollout"
    airflow.api.wait_for_dags(training, rollout)
    for partition in BOTH[::-1]:
        airflow.api.announce("mlops/backlog/data", partition)
    newer, _ = ended(airflow, training, "2013-02")
    assert newer["nominate_challenger"] == "success"
    run = airflow.api.wait_for_partition(rollout, "1")
    wait_for_state(airflow, rollout, run, "step_1_50pct.analyse", "deferred")
    with clients(airflow.services.serving.url("backlog")) as sent:
        older, log = ended(airflow, training, "2013-01")
        assert airflow.api.wait_for_run(rollout, run)["state"] == "success"
    assert {status for _, status in sent.answers} == {200}
    assert (older["check_skew"], older["retrain_gate"], older["train_model"]) == (
        "success",
        "skipped",
        "skipped",
    )
    assert "version 1 was trained on the newer partition 2013-02" in log
    assert [version.version for version in airflow.registry.versions("backlog")] == ["1"]
    assert window_of(airflow, "backlog", "1") == BOTH
    assert airflow.registry.alias("backlog", CHAMPION_ALIAS) == "1"
    assert airflow.services.serving.traffic("backlog").stable == "1"


def test_backlog_that_is_watched_for_is_told_once_oldest_first_and_its_newest_partition_trains(airflow):
    watch, training = "watched__watch", "watched__training"
    airflow.api.wait_for_dags(watch, training, "watched__rollout")
    pause(airflow, "watched__rollout")
    shutil.copytree(airflow.home / "data", airflow.home / "copy")
    (airflow.home / "copy").rename(airflow.home / "data_watched")  # both partitions at the same moment
    newer, _ = ended(airflow, training, "2013-02")
    older, log = ended(airflow, training, "2013-01")
    assert (newer["nominate_challenger"], older["train_model"]) == ("success", "skipped")
    assert "partition 2013-01 is older: 2013-02 was announced, whose own run may train" in log
    assert window_of(airflow, "watched", "1") == BOTH

    def waits_again():
        states = [run["state"] for run in airflow.api.runs(watch)]
        return "failed" not in states and states.count("success") == 1 and states[-1] == "running"

    airflow.api.wait(waits_again, 60, "the watcher to wait for the next partition")
    shutil.copy(airflow.home / "data" / "2013-02.parquet", airflow.home / "data_watched" / "2013-03.parquet")
    ended(airflow, training, "2013-03")
    assert [run["partition_key"] for run in airflow.api.runs(training)] == [*BOTH, "2013-03"]
