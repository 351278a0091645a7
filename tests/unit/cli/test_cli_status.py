"""``airflow-mlops status`` shows a rollout as it is now."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
from builders import plan, state_at, watched

from airflow_mlops.backends.serving.in_memory import InMemoryServing
from airflow_mlops.backends.serving.live import keep_live
from airflow_mlops.backends.serving.local.backend import LocalServing
from airflow_mlops.backends.serving.local.state import EndpointState, StateFile
from airflow_mlops.backends.serving.protocol import Traffic
from airflow_mlops.cli import main
from airflow_mlops.cli import status as status_command
from airflow_mlops.core.errors import ServiceUnavailableError
from airflow_mlops.core.rollout.end import EndKind, RolloutEnd
from airflow_mlops.core.rollout.lease import Lease

HOLDER, PLAN = "m__rollout/run-1", plan()


@pytest.fixture
def serving(monkeypatch):
    """Version 2 gets 10 % beside version 1."""
    backend = InMemoryServing()
    backend.claim("m", HOLDER)
    for version in ("1", "2"):
        backend.deploy("m", version, None, holder=HOLDER)
        backend.promote("m", "1", holder=HOLDER)
    backend.set_traffic("m", "2", 10, holder=HOLDER)
    backend.count("m", "1", requests=900, errors=2)
    backend.count("m", "2", requests=100, errors=1)
    monkeypatch.setattr(status_command, "serving_of", lambda options: backend)
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    backend.leases["m"] = Lease(holder=HOLDER, token=1, expires_at=1240.0)
    return backend


def shown(capsys, *more):
    code = main(["status", "m", "--conn", "here", *more])
    return code, capsys.readouterr().out.splitlines()


def test_rollout_is_shown_with_weight_holder_lease_and_counts(serving, capsys):
    assert shown(capsys) == (
        0,
        [
            "m",
            "  address  memory://m",
            "  stable   version 1",
            "  canary   version 2 gets 10 %",
            f"  holder   {HOLDER}",
            "  lease    240 s left",
            "  version 1    900 requests, 2 errors since it was deployed",
            "  version 2    100 requests, 1 errors since it was deployed",
        ],
    )


def test_evidence_of_the_last_window_is_shown(serving, capsys):
    state = replace(watched(PLAN, state_at(10), windows=3), lease=serving.leases["m"])
    keep_live(serving, "m", PLAN, replace(state, clock=990.0))
    said = "\n".join(shown(capsys)[1])
    assert "  step     10 % since 00:00:00Z, looked at 00:16:30Z: stepping, continue" in said
    assert "  why      bakes for 7 s more; e-value 1, rolls back at 20; harmless" in said
    assert "  windows  canary 0/90 failed, stable 0/810 failed in this step; 0 unread" in said
    assert "  e-values errors 1 (rolls back at 20); harmless " in said


def test_what_was_said_before_nobody_watched_any_more_is_said_to_be_of_then(serving, capsys):
    keep_live(serving, "m", PLAN, replace(watched(PLAN, state_at(10), windows=3), clock=900.0))
    said = "\n".join(shown(capsys)[1])
    assert "not looked at for 100 s, nobody watches; at 00:15:00Z: stepping, continue" in said
    assert "  then     bakes for 7 s more; e-value 1, rolls back at 20; harmless" in said


def test_what_another_rollout_of_the_version_left_is_not_shown(serving, capsys):
    other = replace(serving.leases["m"], holder="m__rollout/run-0")
    state = replace(watched(PLAN, state_at(10), windows=3), lease=other, clock=990.0)
    keep_live(serving, "m", PLAN, state)
    assert not any(line.startswith("  step") for line in shown(capsys)[1])


def test_canary_beside_which_nothing_serves_gets_all_requests(serving, capsys):
    serving.traffic = lambda endpoint: Traffic(endpoint=endpoint, canary="2", canary_percent=10)
    assert "  canary   version 2 gets 100 %" in shown(capsys)[1]


def test_evidence_of_a_rollout_that_ended_is_not_shown(serving, capsys):
    keep_live(serving, "m", PLAN, watched(PLAN, state_at(10), windows=3))
    serving.stop("m", None, now=1000.0)
    assert shown(capsys)[1] == [
        "m",
        "  address  memory://m",
        "  stable   version 1",
        "  canary   none",
        "  holder   none",
        "  lease    none",
        "  version 1    900 requests, 2 errors since it was deployed",
    ]


def test_lease_that_ended_is_said_and_so_is_what_the_ledger_lacks(serving, capsys):
    serving.leases["m"] = replace(serving.leases["m"], expires_at=970.0)
    assert "  lease    ended 30 s ago: nobody watches" in shown(capsys)[1]
    end = RolloutEnd(id="e", model="m", kind=EndKind.STOPPED, reason="why", actor="ann", at=60.0)
    serving.stop("m", end, now=1000.0)
    assert "  pending  00:01:00Z version 2 stopped at 10 % by ann: why" in shown(capsys)[1]


def test_status_is_shown_again_until_it_is_interrupted(serving, capsys, monkeypatch):
    def sleep(seconds):
        if serving.traffic("m").canary is None:
            raise KeyboardInterrupt
        serving.stop("m", None, now=1000.0)

    monkeypatch.setattr("time.sleep", sleep)
    code, lines = shown(capsys, "--watch", "--json")
    first, second = map(json.loads, lines)
    assert (code, first["traffic"]["canary_percent"], second["traffic"]["canary"]) == (0, 10, None)


def test_counts_that_cannot_be_read_are_said_to_be(serving, capsys, monkeypatch):
    def gone(endpoint):
        raise ServiceUnavailableError("gateway is gone")

    monkeypatch.setattr(serving, "counters", gone)
    code, lines = shown(capsys)
    assert (code, lines[-1]) == (0, "  counts   cannot be read: gateway is gone")
    monkeypatch.setattr(serving, "traffic", gone)
    assert shown(capsys) == (2, [])


def test_unknown_endpoint_is_named(serving, capsys):
    assert main(["status", "x", "--conn", "here"]) == 2
    assert "no endpoint 'x'; endpoints: m" in capsys.readouterr().err


def test_local_endpoint_keeps_its_live_state_in_a_file_and_never_fails_by_it(tmp_path):
    local = LocalServing(tmp_path)
    StateFile(tmp_path / "m", "m").folder.mkdir()
    StateFile(tmp_path / "m", "m").write(EndpointState(endpoint="m"))
    assert local.live("m") is None
    keep_live(local, "m", PLAN, state_at(10))
    keep_live(local, "m", PLAN, watched(PLAN, state_at(10), windows=3))
    assert local.live("m").step_counts.canary_requests == 90
    (tmp_path / "m" / "live.json").write_text("{")
    keep_live(local, "m", PLAN, watched(PLAN, state_at(10), windows=4))
    assert local.live("m").step_counts.canary_requests == 120
    (tmp_path / "m" / "live.json").unlink()
    (tmp_path / "m" / "live.json").mkdir()
    keep_live(local, "m", PLAN, state_at(10))
    assert local.endpoints() == ["m"]
    assert [path.name for path in (tmp_path / "m").glob("*.tmp")] == []
