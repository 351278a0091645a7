"""A person's stop: serving first, then the ledger, which may be away, or hang."""

from __future__ import annotations

import threading
import time

import pytest

from airflow_mlops.backends.registry.in_memory import InMemoryRegistry
from airflow_mlops.backends.serving.in_memory import InMemoryServing
from airflow_mlops.core.errors import (
    EndpointMissingError,
    InvalidConfigError,
    LeaseLostError,
    ServiceUnavailableError,
)
from airflow_mlops.core.rollout.end import EndKind, RolloutEnd
from airflow_mlops.runtime import stop as stops
from airflow_mlops.runtime.ends import flush_ends
from airflow_mlops.runtime.stop import LedgerWriter, stop_rollout

HOLDER = "m__rollout/run-1"


@pytest.fixture
def serving():
    """Version 2 gets 25 % beside version 1, under a living lease."""
    backend = InMemoryServing()
    backend.claim("m", HOLDER)
    backend.deploy("m", "1", None, holder=HOLDER)
    backend.promote("m", "1", holder=HOLDER)
    backend.deploy("m", "2", None, holder=HOLDER)
    backend.set_traffic("m", "2", 25, holder=HOLDER)
    return backend


def stopped(serving, registry=None, **more):
    known = {"actor": "ann", "reason": "complaints since noon", "now": 100.0}
    return stop_rollout(serving, "m", registry=registry, **known | more)


def test_stop_takes_the_canary_out_frees_the_endpoint_and_is_in_the_ledger(serving):
    registry = InMemoryRegistry()
    lease = serving.take_lease("m", HOLDER, now=99.0, seconds=300.0)
    done = stopped(serving, registry)
    seen = serving.traffic("m")
    assert (seen.stable, seen.canary, seen.canary_percent, seen.holder) == ("1", None, 0, None)
    (end,) = registry.ends("m")
    assert (end.kind, end.actor, end.reason, end.at) == (
        EndKind.STOPPED,
        "ann",
        "complaints since noon",
        100.0,
    )
    assert (end.version, end.champion, end.percent, end.holder) == ("2", "1", 25, HOLDER)
    assert serving.pending_ends("m") == ()
    assert done.sentence == f"m: version 2 stopped, 25 % → 0 %; version 1 serves; {HOLDER} no longer holds it"
    assert done.ledger_sentence == "ledger entry written"
    with pytest.raises(LeaseLostError, match="a person stopped the rollout"):
        serving.set_traffic("m", "2", 50, holder=HOLDER, lease=lease)


def test_second_stop_finds_nothing_and_writes_nothing(serving):
    registry = InMemoryRegistry()
    stopped(serving, registry)
    again = stopped(serving, registry)
    assert not again.did_something
    assert again.sentence == "m: nothing to stop: no canary, and no rollout holds it; version 1 serves"
    assert again.ledger_sentence == ""
    assert len(registry.ends("m")) == 1


def test_cold_start_that_is_stopped_serves_nothing(serving):
    serving.claim("n", "n__rollout/r")
    serving.deploy("n", "1", None, holder="n__rollout/r")
    serving.set_traffic("n", "1", 5, holder="n__rollout/r")
    done = stop_rollout(serving, "n", actor="ann", reason="wrong model", now=1.0)
    assert "version 1 stopped, 100 % → 0 %; nothing serves any more" in done.sentence


def test_registry_that_fails_leaves_the_entry_pending_and_the_next_flush_writes_it_once(serving):
    class Away(InMemoryRegistry):
        def record_end(self, end):
            raise ServiceUnavailableError("MLflow does not answer")

    done = stopped(serving, Away())
    assert serving.traffic("m").canary is None
    assert done.ledger_sentence == "ledger entry pending: ServiceUnavailableError: MLflow does not answer"
    back = InMemoryRegistry()
    assert [end.kind for end in flush_ends(serving, back, "m")] == [EndKind.STOPPED]
    assert flush_ends(serving, back, "m") == ()
    assert len(back.ends("m")) == 1


def test_registry_that_hangs_holds_nobody_up(serving, monkeypatch):
    monkeypatch.setattr(stops, "LEDGER_SECONDS", 0.05)
    answers = threading.Event()

    class Hanging(InMemoryRegistry):
        def record_end(self, end):
            answers.wait(10)
            return super().record_end(end)

    began = time.monotonic()
    registry = Hanging()
    done = stopped(serving, registry)
    assert time.monotonic() - began < 5
    assert (done.pending, serving.traffic("m").canary_percent) == ("no answer within 0.05 s", 0)
    answers.set()
    writer = LedgerWriter(serving, registry)
    assert (writer.flush("m", seconds=10), serving.pending_ends("m")) == ("", ())


def test_writer_that_still_waits_is_not_started_twice(serving):
    calls, answers = [], threading.Event()

    class Hanging(InMemoryRegistry):
        def record_end(self, end):
            calls.append(end.id)
            answers.wait(10)
            return super().record_end(end)

    stopped(serving)
    writer = LedgerWriter(serving, Hanging())
    assert [writer.flush("m", seconds=0.02) for _ in range(3)] == ["no answer within 0.02 s"] * 3
    assert len(calls) == 1
    answers.set()


def test_without_a_registry_the_entry_is_pending(serving):
    assert stopped(serving).ledger_sentence == "ledger entry pending: no MLflow server was given"
    assert len(serving.pending_ends("m")) == 1


def test_what_was_written_before_the_registry_failed_is_not_pending_any_more(serving):
    class Once(InMemoryRegistry):
        def record_end(self, end):
            if self.ends("m"):
                raise ServiceUnavailableError("MLflow does not answer")
            return super().record_end(end)

    stopped(serving)
    serving.claim("m", "other/run")
    stopped(serving)
    first, second = serving.pending_ends("m")
    with pytest.raises(ServiceUnavailableError):
        flush_ends(serving, Once(), "m")
    assert [end.id for end in serving.pending_ends("m")] == [second.id]
    assert isinstance(first, RolloutEnd)


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_stop_needs_a_reason(serving, reason):
    with pytest.raises(InvalidConfigError, match="needs a reason"):
        stopped(serving, reason=reason)
    assert serving.traffic("m").canary_percent == 25


def test_name_that_is_no_endpoint_is_refused_with_those_that_are(serving):
    with pytest.raises(EndpointMissingError, match="no endpoint 'x'; endpoints: m"):
        stop_rollout(serving, "x", actor="ann", reason="why", now=1.0)


def test_endpoints_that_cannot_be_listed_are_no_obstacle_to_a_stop(serving, monkeypatch):
    def forbidden():
        raise ServiceUnavailableError("list is denied")

    monkeypatch.setattr(serving, "endpoints", forbidden)
    assert stopped(serving).stopped.version == "2"


def test_stop_after_the_promotion_frees_the_endpoint_and_claims_nothing_else(serving):
    registry = InMemoryRegistry()
    serving.promote("m", "2", holder=HOLDER)
    serving.clean_up("m", holder=HOLDER)
    stopped(serving, registry)
    (end,) = registry.ends("m")
    assert (end.version, end.champion) == ("", "2")
    assert end.sentence == "the endpoint was freed by ann: complaints since noon; there was no canary"
