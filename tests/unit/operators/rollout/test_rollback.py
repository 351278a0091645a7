from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException
from builders import bring_into_service, promotion

from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS, PREVIOUS
from airflow_mlops.core.errors import RegistryConflictError, ServiceUnavailableError
from airflow_mlops.operators.rollback import RestoreVersionOperator


def restore(version="1", **more):
    known = {"model": "m", "version": version, "reason": "complaints since noon"}
    return RestoreVersionOperator(task_id="restore", **known | more)


@pytest.fixture
def second(world):
    """Version 2 is champion and serves, 1 was champion before, 3 is registered."""
    for number in ("1", "2", "3"):
        world.registry.register("m", f"run-of-{number}", str(world.model_dir), {})
    world.registry.promote(promotion("m", None, "1"))
    world.registry.promote(promotion("m", "1", "2"))
    bring_into_service(world.serving, "m", "2", world.model_dir)
    return world


def shape(world):
    traffic = world.serving.traffic("m")
    return traffic.stable, traffic.canary, traffic.holder, world.registry.alias("m", CHAMPION_ALIAS)


def test_earlier_version_gets_requests_alias_and_an_entry_with_the_reason(second, run):
    entry = run(restore())
    assert shape(second) == ("1", None, None, "1")
    assert second.registry.alias("m", PREVIOUS) == "2"
    assert (entry["kind"], entry["from_version"], entry["to_version"]) == ("rollback", "2", "1")
    assert entry["reason"] == "complaints since noon"
    assert second.evidence.runs["m__stage/run-1"].documents["restored.json"] == entry


def test_done_twice_is_done_once(second, run):
    assert run(restore()) == run(restore())
    assert len(second.registry.ledger("m")) == 3


def test_version_that_never_served_is_refused_unless_forced(second, run):
    with pytest.raises(AirflowFailException, match="version 3 never was champion, allowed: 1, 2, or any by"):
        run(restore("3"))
    assert shape(second) == ("2", None, None, "2")
    run(restore("3", force="True"))
    assert shape(second) == ("3", None, None, "3")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"version": "9"}, "no version '9'"),
        ({"model": "n"}, "'n' has no version"),
        ({"reason": "  "}, "a rollback needs a reason"),
        ({"reason": None}, "a rollback needs a reason"),
    ],
    ids=["version", "model", "reason", "no reason"],
)
def test_bad_form_changes_nothing(second, run, more, message):
    with pytest.raises(AirflowFailException, match=message):
        run(restore(**more))
    assert shape(second) == ("2", None, None, "2")
    assert len(second.registry.ledger("m")) == 2


def test_rollout_that_holds_the_endpoint_is_named(second, run):
    second.serving.claim("m", "other/run")
    with pytest.raises(AirflowFailException, match=r"held by other/run, .*Force stops that rollout first"):
        run(restore())
    assert shape(second) == ("2", None, "other/run", "2")


@pytest.fixture
def held(second):
    """Another rollout is at 50 % with version 3, under a living lease."""
    second.serving.claim("m", "m__rollout/run-7")
    second.serving.deploy("m", "3", second.model_dir, holder="m__rollout/run-7")
    second.serving.set_traffic("m", "3", 50, holder="m__rollout/run-7")
    return second


def test_force_stops_the_rollout_that_holds_the_endpoint_and_the_ledger_says_who(held, run):
    person = SimpleNamespace(
        dag_id="mlops__rollback", run_id="r", partition_key=None, triggering_user_name="ann"
    )
    run(restore(force="True"), dag_run=person)
    assert shape(held) == ("1", None, None, "1")
    (end,) = held.registry.ends("m")
    assert (end.kind, end.actor, end.reason) == ("stopped", "ann", "complaints since noon")
    assert (end.version, end.percent, end.holder) == ("3", 50, "m__rollout/run-7")
    assert held.serving.pending_ends("m") == ()


def test_forced_rollback_wins_against_a_rollout_that_comes_back(held, run, monkeypatch):
    stop, back = held.serving.stop, ["m__rollout/run-8", "m__rollout/run-9"]

    def stop_and_return(endpoint, end, *, now):
        done = stop(endpoint, end, now=now)
        if back:
            held.serving.claim(endpoint, back.pop(0))
        return done

    monkeypatch.setattr(held.serving, "stop", stop_and_return)
    run(restore(force=True))
    assert shape(held) == ("1", None, None, "1")
    assert [end.holder for end in held.registry.ends("m")] == [
        "m__rollout/run-7",
        "m__rollout/run-8",
        "m__rollout/run-9",
    ]


def test_ledger_that_refuses_the_stop_does_not_keep_the_version_from_coming_back(held, run, monkeypatch):
    def silent(end):
        raise ServiceUnavailableError("MLflow does not answer")

    monkeypatch.setattr(held.registry, "record_end", silent)
    run(restore(force=True))
    assert shape(held) == ("1", None, None, "1")
    assert [end.kind for end in held.serving.pending_ends("m")] == ["stopped"]


def test_dead_rollout_is_taken_over_without_force(held, run):
    held.serving.leases["m"] = replace(held.serving.leases["m"], expires_at=1.0)
    run(restore())
    assert shape(held) == ("1", None, None, "1")
    assert [end.kind for end in held.registry.ends("m")] == ["superseded"]


def test_canary_in_between_is_taken_out_of_traffic(second, run):
    second.serving.claim("m", "lost")
    second.serving.deploy("m", "3", second.model_dir, holder="lost")
    second.serving.set_traffic("m", "3", 50, holder="lost")
    second.serving.release("m", "lost")
    run(restore())
    assert shape(second) == ("1", None, None, "1")


def test_alias_that_was_deleted_is_set_again(second, run):
    del second.registry._aliases["m", CHAMPION_ALIAS]
    run(restore("2"))
    assert shape(second) == ("2", None, None, "2")


def test_champion_that_moved_meanwhile_gets_the_requests_back(second, run, monkeypatch):
    def conflict(entry):
        second.registry._aliases["m", CHAMPION_ALIAS] = "3"
        raise RegistryConflictError("champion is version 3")

    monkeypatch.setattr(second.registry, "promote", conflict)
    with pytest.raises(AirflowFailException, match="champion is version 3"):
        run(restore())
    assert shape(second) == ("3", None, None, "3")


def test_retry_completes_what_an_outage_of_the_registry_cut_off(second, run, monkeypatch):
    def silent(entry):
        raise ServiceUnavailableError("MLflow does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(second.registry, "promote", silent)
        with pytest.raises(ServiceUnavailableError):
            run(restore())
    run(restore())
    assert shape(second) == ("1", None, None, "1")


def test_who_started_the_run_is_in_the_ledger(second, run, monkeypatch):
    person = SimpleNamespace(
        dag_id="mlops__rollback", run_id="r", partition_key=None, triggering_user_name="ann"
    )
    run(restore(), dag_run=person)
    assert second.registry.ledger("m")[-1].actor == "ann"
    assert second.registry.ledger("m")[-1].run_id == "r"
