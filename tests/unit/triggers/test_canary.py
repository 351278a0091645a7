from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace

import pytest
from builders import plan, state_at

from airflow_mlops.backends.serving.in_memory import InMemoryServing
from airflow_mlops.core.errors import ServiceUnavailableError
from airflow_mlops.hooks.serving import ServingHook
from airflow_mlops.triggers.canary import POOL, CanaryAnalysisTrigger, first_analysis_at

PLAN = plan(window_seconds=10.0)
QUICK = plan(bake_seconds=0.0, window_seconds=0.001, lease_seconds=60.0)


def test_first_analysis_is_a_window_after_the_step_began():
    assert first_analysis_at("m", PLAN, state_at(at=100.0), now=103.0) == 110.0


def test_first_analysis_is_not_further_away_than_a_window_when_the_clock_ran_back():
    assert first_analysis_at("m", PLAN, state_at(at=100.0), now=50.0) == 60.0


def test_analyses_that_are_late_are_spread_over_a_window_and_the_same_after_each_start():
    names = [f"model_{number}" for number in range(1000)]
    first = [first_analysis_at(name, PLAN, state_at(at=0.0), now=500.0) for name in names]
    assert all(500.0 <= due < 510.0 for due in first)
    in_each_second = [sum(second <= due - 500.0 < second + 1 for due in first) for second in range(10)]
    assert min(in_each_second) > 50
    assert first == [first_analysis_at(name, PLAN, state_at(at=0.0), now=500.0) for name in names]


@pytest.fixture
def serving(monkeypatch):
    """Version 2 gets 10 % beside version 1 and fails; it notes the threads that ask."""

    class Failing(InMemoryServing):
        def __init__(self):
            super().__init__()
            self.asked_by, self.silent = set(), 0

        def counters(self, endpoint):
            self.asked_by.add(threading.current_thread().name)
            self.silent -= 1
            if self.silent >= 0:
                raise ServiceUnavailableError("gateway is gone")
            self.count("m", "1", requests=90)
            self.count("m", "2", requests=10, errors=9)
            return super().counters(endpoint)

    backend = Failing()
    backend.claim("m", "me")
    for version in ("1", "2"):
        backend.deploy("m", version, None, holder="me")
        backend.promote("m", "1", holder="me")
    backend.set_traffic("m", "2", 10, holder="me")
    monkeypatch.setattr(ServingHook, "shared_backend", lambda self: backend)
    monkeypatch.setattr(ServingHook, "metrics", lambda self, endpoint, backend, wanted=(): None)
    return backend


def fired(state):
    trigger = CanaryAnalysisTrigger(
        serving_conn_id="x", endpoint="m", plan=QUICK.to_json(), state=state.to_json()
    )
    path, arguments = trigger.serialize()
    assert path == "airflow_mlops.triggers.canary.CanaryAnalysisTrigger"

    async def events():
        return [event.payload async for event in CanaryAnalysisTrigger(**arguments).run()]

    (payload,) = asyncio.run(events())
    return payload


def test_back_end_that_blocks_is_never_asked_on_the_event_loop(serving):
    seen = fired(state_at(at=time.time()))
    assert (seen["phase"], seen["decision"]) == ("rolled_back", "rollback")
    assert serving.asked_by
    assert all(name.startswith(POOL._thread_name_prefix) for name in serving.asked_by)


def test_gateway_that_is_gone_for_a_while_is_asked_again(serving):
    serving.silent = 3
    seen = fired(state_at(at=time.time()))
    assert (seen["phase"], seen["arrivals"]["missing"]) == ("rolled_back", 3)


def test_step_that_is_decided_already_fires_at_once(serving):
    passed = state_at().to_json() | {"phase": "passed"}
    assert fired(type(state_at()).from_json(passed)) == passed
    assert serving.asked_by == set()


@pytest.fixture
def lines(monkeypatch):
    """What the trigger writes to the task's log."""
    written = []
    log = SimpleNamespace(info=lambda text, *args: written.append(text % args))
    monkeypatch.setattr(CanaryAnalysisTrigger, "log", log)
    return written


def test_log_of_the_waiting_task_gets_a_line_for_each_change_and_no_other(serving, lines):
    serving.silent = 5
    fired(state_at(at=time.time()))
    assert [line.partition(":")[2].partition(":")[0] for line in lines] == [
        " version 2 at 10 %",
        " version 2 at 10 %",
        " version 2 at 10 %",
    ]
    assert [line.split(" ")[6] for line in lines] == ["stepping,", "stepping,", "rolled"]
    assert "rolls back at" in lines[-1]


def test_each_window_can_be_seen_while_the_task_waits(serving, lines):
    seen = []
    serving.keep_live = lambda endpoint, live: seen.append((endpoint, live.step_counts.canary_requests))
    fired(state_at(at=time.time()))
    assert len(seen) > 1
    assert seen == [("m", 10 * number) for number in range(1, len(seen) + 1)]


def test_live_state_that_cannot_be_kept_changes_nothing(serving):
    def full(endpoint, live):
        raise OSError("no space left on device")

    serving.keep_live = full
    assert fired(state_at(at=time.time()))["phase"] == "rolled_back"
