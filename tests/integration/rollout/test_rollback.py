"""Rollback, replay and the registry's watcher under a real Airflow with real servers."""

from __future__ import annotations

import pytest
from builders import bring_into_service, promotion
from standing import pause

from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS

pytestmark = [pytest.mark.integration, pytest.mark.slow]
MODEL, TRAINING, ROLLOUT = "restored", "restored__training", "restored__rollout"
ROLLBACK, REPLAY, WATCHING = "mlops__rollback", "mlops__replay", "on_new_champion"


@pytest.fixture(scope="module")
def second(airflow, tmp_path_factory):
    """Version 1 was trained and champion; version 2 is champion and serves."""
    airflow.api.wait_for_dags(ROLLBACK, REPLAY, WATCHING, TRAINING, ROLLOUT)
    pause(airflow, ROLLOUT)
    airflow.api.announce("mlops/restored/data", "2013-01")
    run = airflow.api.wait_for_partition(TRAINING, "2013-01")
    assert airflow.api.wait_for_run(TRAINING, run)["state"] == "success"
    airflow.registry.register(MODEL, "another-run", f"models:/{MODEL}/1", {})
    airflow.registry.promote(promotion(MODEL, None, "1"))
    airflow.registry.promote(promotion(MODEL, "1", "2"))
    model_dir = airflow.registry.download(MODEL, "2", tmp_path_factory.mktemp("model"))
    bring_into_service(airflow.services.serving, MODEL, "2", model_dir)
    return airflow


def test_person_goes_back_to_an_earlier_version_within_30_seconds_and_nobody_notices(second, clients):
    form = {"model": MODEL, "version": "1", "reason": "complaints since noon"}
    with clients(second.services.serving.url(MODEL)) as sent:
        run = second.api.trigger(ROLLBACK, conf=form)
        assert second.api.wait_for_run(ROLLBACK, run)["state"] == "success"
        second.api.wait(lambda: sent.answers[-1][0] == "1", 10, "an answer of version 1")
    assert {status for _, status in sent.answers} == {200}
    assert second.services.serving.traffic(MODEL).stable == "1"
    assert second.registry.alias(MODEL, CHAMPION_ALIAS) == "1"
    entry = second.registry.ledger(MODEL)[-1]
    assert (entry.kind, entry.actor, entry.reason) == ("rollback", "admin", "complaints since noon")
    assert second.api.tasks(ROLLBACK, run)["restore"]["duration"] <= 30


def test_change_of_the_registry_starts_a_dag_that_knows_what_changed(second):
    second.api.wait(lambda: second.api.runs(WATCHING), 60, f"a run of {WATCHING}")
    moved = []

    def told():
        moved[:] = [
            change
            for run in second.api.runs(WATCHING)
            for change in second.api.xcom(WATCHING, run["dag_run_id"], "changes") or ()
        ]
        return any(change["alias"] == "champion" for change in moved)

    second.api.wait(told, 60, "the champion's change")
    assert {change["model"] for change in moved} == {MODEL}


def test_version_is_had_again_from_its_record(second):
    run = second.api.trigger(REPLAY, conf={"model": MODEL, "version": "1"})
    assert second.api.wait_for_run(REPLAY, run)["state"] == "success"
    verdict = second.api.xcom(REPLAY, run, "replay")
    assert verdict["outcome"] == "pass"
    assert second.registry.version(MODEL, "1").tags["mlops.replay"] == "pass"
