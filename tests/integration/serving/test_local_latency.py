"""A plan that watches latency, on a real gateway: a slow canary is rolled back for it, an equal one not."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
from builders import plan
from local_serving import ME, Clients, deployed, model

from airflow_mlops.backends.metrics.protocol import Arms
from airflow_mlops.backends.serving.local.metrics import LocalMetrics
from airflow_mlops.core.rollout.counters import Reading, ReadingStatus, delta_since
from airflow_mlops.core.rollout.evidence.latency import LEAST_ANSWERS
from airflow_mlops.core.rollout.evidence.share import StepDecision
from airflow_mlops.core.rollout.machine import begin, begin_step
from airflow_mlops.core.rollout.plan import RolloutMetric
from airflow_mlops.core.rollout.state import Phase
from airflow_mlops.hooks.serving import ServingHook
from airflow_mlops.observe import analyse_window, first_reading

pytestmark = [pytest.mark.integration, pytest.mark.slow]
PLAN = plan(
    steps=(25,),
    metrics=(RolloutMetric.ERRORS, RolloutMetric.LATENCY),
    bake_seconds=4.0,
    deadline_seconds=40.0,
    window_seconds=0.5,
    min_requests=100,
)


@pytest.fixture
def serving(serving, tmp_path, monkeypatch):
    extra = {"state_dir": str(serving.state_dir)}
    monkeypatch.setenv("AIRFLOW_CONN_S", json.dumps({"conn_type": "mlops_local_serving", "extra": extra}))
    deployed(serving, "m", "1", tmp_path, milliseconds=(15, 25))
    return serving


def watched(serving, tmp_path, milliseconds):
    """Roll version 2 out beside clients; return where it ended and the source of its counts."""
    hook = ServingHook("s")
    metrics = hook.metrics("m", serving, PLAN.metrics)
    serving.deploy("m", "2", model(tmp_path / "two", milliseconds), holder=ME)
    with Clients(serving.url("m"), count=6) as clients:
        clients.more(LEAST_ANSWERS + 20)
        serving.set_traffic("m", "2", 25, holder=ME)
        state = begin(PLAN, "2", "1")
        reading = first_reading(serving, "m", state, metrics, now=time.time())
        state = begin_step(state, 25, reading, now=time.time())
        while state.is_open:
            time.sleep(PLAN.window_seconds)
            state = analyse_window(serving, "m", PLAN, state, now=time.time(), metrics=metrics)
    assert {status for _, status in clients.answers} == {200}
    return state, metrics


def test_slow_canary_is_rolled_back_for_latency_though_nothing_fails(serving, tmp_path):
    state, metrics = watched(serving, tmp_path, (40, 60))
    assert (state.phase, state.decision) == (Phase.ROLLED_BACK, StepDecision.ROLL_BACK)
    assert state.reasons[0].startswith("version 2 at 25 %: canary is slow more often than stable: e-value")
    assert state.share.e_value < 2
    took = metrics.latencies(since=state.step_since, until=time.time())
    assert took["1"].p50_ms < 40 <= took["2"].p50_ms <= took["2"].p99_ms


def test_canary_as_quick_as_the_champion_advances_and_its_answers_were_timed(serving, tmp_path):
    state, _ = watched(serving, tmp_path, (15, 25))
    assert (state.phase, state.decision) == (Phase.PASSED, StepDecision.ADVANCE)
    assert state.seen[RolloutMetric.LATENCY] >= PLAN.min_requests
    assert state.others[RolloutMetric.LATENCY].e_value < 20


def test_champion_without_enough_answers_gives_no_bar_and_that_is_no_success(serving, tmp_path):
    most = replace(PLAN, steps=(99,))
    serving.deploy("m", "2", model(tmp_path / "two"), holder=ME)
    serving.set_traffic("m", "2", 99, holder=ME)
    metrics, state = LocalMetrics(serving, "m"), begin(most, "2", "1")
    reading = first_reading(serving, "m", state, metrics, now=time.time())
    state = begin_step(state, 99, reading, now=0.0)
    with Clients(serving.url("m"), count=2) as clients:
        clients.more(300)
    time.sleep(0.3)  # what the gateway's log needs to settle
    late = analyse_window(serving, "m", most, state, now=time.time(), metrics=metrics)
    assert late.step_requests > 200
    assert late.seen.get(RolloutMetric.LATENCY, 0) == 0
    assert late.decision is StepDecision.INCONCLUSIVE
    assert "no data on latency" in late.reasons[0]


def test_errors_are_seen_by_a_triggerer_whose_clock_is_behind_the_one_before(serving, tmp_path):
    serving.deploy("m", "2", model(tmp_path / "two"), holder=ME)
    serving.set_traffic("m", "2", 50, holder=ME)
    metrics, arms = LocalMetrics(serving, "m"), Arms(canary="2", stable="1")
    ahead = metrics.read(arms, Reading(), now=time.time() + 60.0)
    with Clients(serving.url("m"), count=2) as clients:
        clients.more(40)
    behind = metrics.read(arms, ahead, now=time.time())
    status, delta = delta_since(ahead, behind, ())
    assert status is ReadingStatus.APPLIED
    assert delta.errors.canary_requests + delta.errors.stable_requests >= 40
