"""Client errors, and metrics that are watched only where the source measures them."""

from __future__ import annotations

import pytest
from builders import plan, reading

from airflow_mlops.core.errors import InvalidPlanError
from airflow_mlops.core.rollout.evidence.share import ArmCounts
from airflow_mlops.core.rollout.machine import advance, begin, begin_step
from airflow_mlops.core.rollout.plan import RolloutMetric, RolloutPlan, Strategy
from airflow_mlops.core.rollout.state import Phase, RolloutState

BOTH = (RolloutMetric.CLIENT_ERRORS, RolloutMetric.LATENCY)
WISHES = plan(optional_metrics=BOTH)


def refused(canary, stable):
    return lambda n: {
        "client_errors": ArmCounts(
            canary_requests=30 * n,
            canary_errors=canary * n,
            stable_requests=270 * n,
            stable_errors=stable * n,
        )
    }


def after(seconds, measures, per_second, its_plan=WISHES):
    state = begin_step(begin(its_plan, "2", "1", measures), 10, reading(), now=0.0)
    for n in range(1, seconds + 1):
        state = advance(its_plan, state, reading(30 * n, 0, 270 * n, 0, **per_second(n)), now=float(n))
    return state


def test_canary_that_refuses_predictions_is_rolled_back_though_it_never_fails():
    state = after(8, BOTH, refused(30, 2))
    assert state.phase is Phase.ROLLED_BACK
    assert "canary refuses more requests (4xx) than stable" in state.reasons[0]
    assert "rolls back at 60" in state.reasons[0]  # alpha is divided among the three metrics
    assert state.trace[-1].others["client_errors"] >= 60


def test_clients_that_err_with_both_versions_blame_nobody():
    state = after(10, {RolloutMetric.CLIENT_ERRORS}, refused(6, 54))
    assert (state.phase, state.seen[RolloutMetric.CLIENT_ERRORS]) == (Phase.PASSED, 300)


def test_what_the_source_cannot_measure_takes_no_part_of_alpha():
    state = after(10, {RolloutMetric.ERRORS}, lambda n: {})
    assert (state.phase, state.watched, state.bar) == (Phase.PASSED, (RolloutMetric.ERRORS,), 20)


def test_optional_metric_that_never_comes_is_told_and_keeps_no_step_waiting():
    state = after(10, BOTH, refused(0, 0))
    assert state.phase is Phase.PASSED
    assert state.reasons[0].endswith("; latency was not measured")


@pytest.mark.parametrize(
    ("champion", "more"), [(None, {}), ("1", {"steps": (100,), "strategy": Strategy.BLUE_GREEN})]
)
def test_without_a_champion_to_compare_with_only_errors_are_watched(champion, more):
    assert begin(plan(optional_metrics=BOTH, **more), "2", champion, BOTH).watched == (RolloutMetric.ERRORS,)


def test_metric_that_is_demanded_and_wished_is_watched_once():
    twice = plan(metrics=(RolloutMetric.ERRORS, RolloutMetric.LATENCY), optional_metrics=BOTH)
    assert twice.watched((), champion="1") == (RolloutMetric.ERRORS, RolloutMetric.LATENCY)
    assert len(twice.watched(BOTH, champion="1")) == 3


@pytest.mark.parametrize("metric", [RolloutMetric.ERRORS, RolloutMetric.PREDICTIONS])
def test_metric_that_cannot_be_optional_is_refused(metric):
    with pytest.raises(InvalidPlanError, match=f"optional_metrics: {metric}, allowed: client_errors, lat"):
        RolloutPlan(optional_metrics=(metric,))


def test_evidence_on_client_errors_survives_its_way_between_tasks():
    state = after(5, BOTH, refused(2, 20))
    assert RolloutState.from_json(state.to_json()) == state
