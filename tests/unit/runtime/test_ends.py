from __future__ import annotations

import time

import pytest
from airflow.sdk import DagRunState
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from airflow_mlops.backends.registry.in_memory import InMemoryRegistry
from airflow_mlops.backends.serving.in_memory import InMemoryServing
from airflow_mlops.core.errors import EndpointBusyError
from airflow_mlops.core.rollout.end import EndKind, RolloutEnd
from airflow_mlops.runtime import ends
from airflow_mlops.runtime.deployment import clean_up
from airflow_mlops.runtime.ends import flush_ends, free_from_ended_run, run_state

THEIRS, MINE = "m__rollout/run-1", "m__rollout/run-2"


@pytest.fixture
def registry():
    return InMemoryRegistry()


@pytest.fixture
def serving(tmp_path):
    """Version 1 serves, version 2 is a canary at 20 % of a rollout."""
    backend = InMemoryServing()
    backend.claim("m", THEIRS)
    backend.deploy("m", "1", tmp_path, holder=THEIRS)
    backend.promote("m", "1", holder=THEIRS)
    backend.deploy("m", "2", tmp_path, holder=THEIRS)
    backend.set_traffic("m", "2", 20, holder=THEIRS)
    return backend


@pytest.mark.parametrize("state", ["success", "failed", "deleted"])
def test_rollout_whose_run_is_over_is_replaced_and_its_canary_gets_nothing_more(
    serving, registry, monkeypatch, state
):
    monkeypatch.setattr(ends, "run_state", lambda holder: state if holder == THEIRS else "running")
    free_from_ended_run(serving, registry, "m", MINE)
    serving.claim("m", MINE, now=time.time())
    seen = serving.traffic("m")
    assert (seen.stable, seen.canary, seen.canary_percent, seen.holder) == ("1", None, 0, MINE)
    (end,) = serving.pending_ends("m")
    assert (end.kind, end.version, end.percent, end.holder) == (EndKind.SUPERSEDED, "2", 20, THEIRS)
    assert end.reason == f"{MINE} took over from {THEIRS}, whose run is {state}"


def test_rollout_that_has_its_end_gets_no_second_one_when_it_is_replaced(serving, registry, monkeypatch):
    monkeypatch.setattr(ends, "run_state", lambda holder: "failed")
    serving.promote("m", "2", holder=THEIRS)
    about = {"percent": 20, "reason": "good", "holder": THEIRS}
    ends.record_end_once(registry, ends.promoted_end("m", "2", **about))
    free_from_ended_run(serving, registry, "m", MINE)
    assert serving.traffic("m").holder is None
    assert serving.pending_ends("m") == ()


@pytest.mark.parametrize("state", ["running", "queued", None])
def test_rollout_that_runs_or_of_which_airflow_says_nothing_keeps_the_endpoint(
    serving, registry, monkeypatch, state
):
    monkeypatch.setattr(ends, "run_state", lambda holder: state)
    free_from_ended_run(serving, registry, "m", MINE)
    assert (serving.traffic("m").holder, serving.traffic("m").canary_percent) == (THEIRS, 20)
    assert serving.pending_ends("m") == ()


@pytest.mark.parametrize("written", [True, False], ids=["in the ledger", "pending"])
def test_rollout_that_a_person_stopped_gives_way_while_it_cleans_up(serving, registry, monkeypatch, written):
    monkeypatch.setattr(ends, "run_state", lambda holder: "running")
    stop = RolloutEnd(id="a", model="m", kind=EndKind.STOPPED, reason="enough", actor="op")
    serving.stop("m", stop, now=time.time())
    if written:
        flush_ends(serving, registry, "m")
    serving.claim("m", THEIRS)  # its task roll_back stops servers without traffic
    free_from_ended_run(serving, registry, "m", MINE)
    serving.claim("m", MINE)
    assert serving.traffic("m").holder == MINE
    assert [end.kind for end in (*serving.pending_ends("m"), *registry.ends("m"))] == [EndKind.STOPPED]
    with pytest.raises(EndpointBusyError, match=f"held by {MINE}"):
        clean_up(serving, "m", THEIRS)


def test_ended_run_that_alone_serves_is_left_to_its_lease(tmp_path, registry, monkeypatch):
    monkeypatch.setattr(ends, "run_state", lambda holder: "failed")
    backend = InMemoryServing()
    backend.claim("m", THEIRS)
    backend.deploy("m", "2", tmp_path, holder=THEIRS)
    free_from_ended_run(backend, registry, "m", MINE)
    assert backend.traffic("m").holder == THEIRS


@pytest.mark.parametrize(("status", "state"), [(404, "deleted"), (500, None)])
def test_airflow_that_knows_no_such_run_says_it_is_deleted(monkeypatch, status, state):
    def ask(dag_id, run_id):
        raise AirflowRuntimeError(
            ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": status})
        )

    monkeypatch.setattr(RuntimeTaskInstance, "get_dagrun_state", ask)
    assert run_state(THEIRS) == state


@pytest.mark.parametrize("said", [DagRunState.FAILED, "failed"], ids=["enumeration", "text"])
def test_state_of_a_run_is_asked_by_dag_and_run(monkeypatch, said):
    asked = []
    monkeypatch.setattr(
        RuntimeTaskInstance, "get_dagrun_state", lambda dag_id, run_id: asked.append((dag_id, run_id)) or said
    )
    assert run_state(THEIRS) == "failed"
    assert asked == [("m__rollout", "run-1")]


def test_outside_of_a_task_nothing_is_known_of_a_run():
    assert run_state(THEIRS) is None
