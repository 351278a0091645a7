"""Windows of a canary that is alone: a champion without traffic may be scaled to zero."""

from __future__ import annotations

import time

import pytest
from builders import plan
from fakes.prometheus import Prometheus

from airflow_mlops.backends.metrics.prometheus import PrometheusMetrics, PrometheusSelectors
from airflow_mlops.backends.metrics.version_labels import VersionLabelMetrics
from airflow_mlops.backends.serving.in_memory import InMemoryServing
from airflow_mlops.core.rollout.counters import Reading, ReadingStatus
from airflow_mlops.core.rollout.machine import begin, begin_step
from airflow_mlops.core.rollout.state import Phase
from airflow_mlops.observe import analyse_window, first_reading

COUNTED = PrometheusSelectors(
    requests='requests_total{version="$version"}', errors='errors_total{version="$version"}'
)
WINDOWS = plan(steps=(50, 100), bake_seconds=60.0, deadline_seconds=600.0)
NEW, OLD = "demo-predictor-00002", "demo-predictor-00001"


@pytest.fixture
def prometheus():
    with Prometheus() as server:
        yield server


def serving_at(percent):
    serving = InMemoryServing()
    serving.claim("demo", "me")
    for version in ("1", "2"):
        serving.deploy("demo", version, None, holder="me")
        if version == "1":
            serving.promote("demo", "1", holder="me")
    serving.set_traffic("demo", "2", percent, holder="me")
    return serving


def watched(server, percent, labels, windows=4):
    metrics = VersionLabelMetrics(PrometheusMetrics(server.url, COUNTED, settle_seconds=0.0), lambda: labels)
    serving, now = serving_at(percent), time.time()
    state = begin(WINDOWS, "2", "1", metrics.measures)
    began = first_reading(serving, "demo", state, metrics, now=now) or Reading(until=now)
    state = begin_step(state, percent, began, now=now)
    for number in range(1, windows + 1):
        if state.is_open:
            state = analyse_window(serving, "demo", WINDOWS, state, now=now + 5.0 * number, metrics=metrics)
    return state


@pytest.mark.parametrize("labels", [{"2": NEW, "1": OLD}, {"2": NEW}], ids=["labelled", "no label"])
def test_canary_that_is_alone_needs_no_metrics_of_a_champion_scaled_to_zero(prometheus, labels):
    prometheus.gone.add(OLD)
    healthy = watched(prometheus, 100, labels)
    assert (healthy.phase, healthy.arrivals) == (Phase.STEPPING, {ReadingStatus.APPLIED: 4})
    prometheus.bad[NEW] = 1.0
    broken = watched(prometheus, 100, labels)
    assert broken.phase is Phase.ROLLED_BACK
    assert "400000 of 400000 requests failed" in broken.reasons[0]


def test_canary_beside_a_champion_without_metrics_has_no_evidence(prometheus):
    prometheus.gone.add(OLD)
    state = watched(prometheus, 50, {"2": NEW, "1": OLD})
    assert (state.phase, state.arrivals) == (Phase.STEPPING, {ReadingStatus.MISSING: 4})


def test_canary_that_is_alone_and_has_no_metrics_is_missing_data(prometheus):
    prometheus.gone.add(NEW)
    state = watched(prometheus, 100, {"2": NEW, "1": OLD})
    assert state.arrivals == {ReadingStatus.MISSING: 4}


def test_champion_of_a_canary_that_is_alone_is_not_asked_for(prometheus):
    state = watched(prometheus, 100, {"2": NEW, "1": OLD}, windows=1)
    assert (state.last.canary_requests, state.last.stable_requests) == (200000, 0)
    assert OLD not in prometheus.asked
