"""Processes are really killed while a run is in the middle of something; the run must end as planned."""

from __future__ import annotations

import pytest
from processes import kill_now, worker_of
from standing import pause, wait_for_state

from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS

pytestmark = [pytest.mark.integration, pytest.mark.slow]
TRAINING, ROLLOUT, ON_WORKER = "steady__training", "steady__rollout", "steady__rollout_on_worker"


def kill_worker_of(airflow, dag_id, run_id, task_id):
    pid = airflow.api.tasks(dag_id, run_id)[task_id]["pid"]
    kill_now(*worker_of(pid, airflow.services.processes["scheduler"].pid))


def shape(airflow):
    seen = airflow.services.serving.traffic("steady")
    return seen.stable, seen.canary, seen.canary_percent


def test_worker_killed_in_training_and_triggerer_in_a_canary_step(airflow, clients):
    airflow.api.wait_for_dags(TRAINING, ROLLOUT, ON_WORKER)
    airflow.calls.unlink(missing_ok=True)
    airflow.api.announce("mlops/steady/data", "2013-01")
    run = airflow.api.wait_for_partition(TRAINING, "2013-01")
    airflow.api.wait(airflow.calls.exists, 120, "training to begin")
    kill_worker_of(airflow, TRAINING, run, "train_model")
    assert airflow.api.wait_for_run(TRAINING, run)["state"] == "success"
    tries = airflow.api.tasks(TRAINING, run)["train_model"]["try_number"]
    assert (
        2 <= len(airflow.calls.read_text().split()) <= tries
    )  # Airflow may lose a try on a busy machine, too
    assert [v.version for v in airflow.registry.versions("steady")] == ["1"]

    rollout = airflow.api.wait_for_partition(ROLLOUT, "1")
    wait_for_state(airflow, ROLLOUT, rollout, "step_1_20pct.analyse", "deferred")
    with clients(airflow.services.serving.url("steady")) as sent:
        airflow.api.wait(lambda: len(sent.answers) > 30, 30, "requests")
        airflow.services.processes["triggerer"].stop(grace_seconds=0)
        airflow.services.run("triggerer")
        assert airflow.api.wait_for_run(ROLLOUT, rollout)["state"] == "success"
    assert {status for _, status in sent.answers} == {200}
    assert shape(airflow) == ("1", None, 0)
    assert airflow.registry.alias("steady", CHAMPION_ALIAS) == "1"
    assert len(airflow.registry.ledger("steady")) == 1


def test_retraining_request_closes_the_loop_and_a_worker_is_killed_in_a_canary_step(airflow, clients):
    pause(airflow, ROLLOUT)
    airflow.api.announce("mlops/steady/retraining", "2013-02", trigger="drift", reason="x moved")
    run = airflow.api.wait_for_partition(TRAINING, "2013-02")
    assert airflow.api.wait_for_run(TRAINING, run)["state"] == "success"
    assert airflow.api.xcom(TRAINING, run, "retrain_gate")["reasons"] == ["drift: x moved"]
    with clients(airflow.services.serving.url("steady")) as sent:
        rollout = airflow.api.trigger(ON_WORKER, conf={"version": "2"})
        wait_for_state(airflow, ON_WORKER, rollout, "step_1_20pct.analyse", "running")
        assert shape(airflow) == ("1", "2", 20)
        kill_worker_of(airflow, ON_WORKER, rollout, "step_1_20pct.analyse")
        assert shape(airflow) == ("1", "2", 20)
        assert airflow.api.wait_for_run(ON_WORKER, rollout)["state"] == "success"
    assert airflow.api.tasks(ON_WORKER, rollout)["step_1_20pct.analyse"]["try_number"] == 2
    assert {status for _, status in sent.answers} == {200}
    assert {version for version, _ in sent.answers} == {"1", "2"}
    assert shape(airflow) == ("2", None, 0)
    assert [(e.from_version, e.to_version) for e in airflow.registry.ledger("steady")] == [
        (None, "1"),
        ("1", "2"),
    ]
    assert [v.version for v in airflow.registry.versions("steady")] == ["2", "1"]
