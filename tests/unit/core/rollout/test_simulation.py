"""The tables of bench_canary, asserted: false rollbacks, time to roll back, false advances."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[4] / "benchmarks"))
from bench_canary import (
    advances,
    agrees_with_the_core,
    as_planned,
    failing_late,
    false_rollbacks,
    ladder,
    wilson,
)
from canary_bursts import (
    HORIZON,
    KINDS,
    alone_found,
    alone_rollbacks,
    burst_rollbacks,
    found_in_a_step,
    linked_as_the_core_links,
    linked_ladder,
    shared_rollbacks,
)
from canary_plan import everything_watched, judged_as_the_core_judges, mixed
from canary_rules import PEERS, ShareRule

from airflow_mlops.core.rollout.counters import Reading
from airflow_mlops.core.rollout.machine import advance, begin, begin_step
from airflow_mlops.core.rollout.plan import RolloutPlan, Strategy
from airflow_mlops.core.rollout.state import Phase

pytestmark = pytest.mark.slow
COUNTS = ("canary_requests", "canary_errors", "stable_requests", "stable_errors")


def ours(size):
    return [ShareRule(size)]


def test_arrays_of_the_simulation_stop_where_the_core_stops():
    assert agrees_with_the_core()
    assert judged_as_the_core_judges()


def test_healthy_canary_is_rolled_back_at_most_one_time_in_twenty_in_every_cell():
    cells, shares = false_rollbacks(ours, repetitions=1000)
    found = shares["share test"]
    assert len(cells) == 135
    assert {cell: share for cell, share in zip(cells, found, strict=True) if share > 0.05} == {}
    assert found.mean() > 0.01


@pytest.mark.parametrize(("rate", "limit"), [(0.20, 20), (0.05, 60), (0.02, 600)])
def test_regression_is_found_in_the_stated_time_at_50_requests_a_second(rate, limit):
    assert ladder(as_planned, 50, rate, repetitions=400)["share test"][0] <= limit


@pytest.mark.parametrize("since", [600, 1200])
@pytest.mark.parametrize("rate", [0.02, 0.05, 0.20])
def test_canary_that_fails_from_a_later_step_on_is_found_sooner_with_a_reserve(since, rate):
    with_it, without = (failing_late(100, since, rate, reserve=part)["share test"] for part in (0.25, 0.0))
    assert with_it * 1.2 < without


@pytest.mark.parametrize("cluster", [1, 3, 10])
def test_healthy_canary_is_hardly_blamed_on_a_plan_to_all_the_traffic(cluster):
    cells = [(rps, base, cluster) for rps in (20, 50, 200) for base in (0.001, 0.005, 0.01)]
    shares = np.isfinite(mixed(500, cells=cells)[1]).mean(axis=1)
    assert {cell: share for cell, share in zip(cells, shares, strict=True) if share > 0.05} == {}


@pytest.mark.parametrize("cluster", [1, 10])
def test_all_metrics_together_blame_or_pause_a_healthy_canary_at_most_alpha_of_the_time(cluster):
    found = everything_watched(800, cluster)
    assert wilson(found["any"], 800)[1] <= 0.05
    for metric in ("errors", "latency", "quality", "predictions"):
        assert wilson(found[metric], 800)[0] <= 0.05 / 5
    assert found["any"] > 0


def test_each_metrics_test_blames_a_bad_canary_on_a_whole_plan():
    assert np.isfinite(mixed(50, canary=(0.05, 1200), cells=[(50, 0.01, 1)])[1]).all()


def test_canary_above_the_allowance_is_found_when_it_has_all_the_traffic():
    """The champion fails as often: no share tells, the rate alone does."""
    times = mixed(50, cells=[(50, 0.04, 1)])[1]
    assert (times > 1800).mean() >= 0.95
    assert np.median(times) < 1860


def test_peers_are_as_slow_and_as_hasty_as_they_were_measured():
    """The rows of 50 requests/s, 20 %: Flagger's five minutes, Argo's twenty, Kayenta's first judgement."""
    found = ladder(lambda size: [peer(size) for peer in PEERS], 50, 0.20, repetitions=40)
    assert [found[f"{peer}-like"][0] for peer in ("Flagger", "Argo", "Kayenta")] == [300, 1200, 300]
    slow = ladder(lambda size: [peer(size) for peer in PEERS], 50, 0.05, repetitions=200)
    assert 0.2 < slow["Argo-like"][2] < 0.45
    assert slow["Kayenta-like"][0] == 300


def test_interval_of_a_share_is_wilsons():
    assert wilson(0.05, 1000) == pytest.approx((0.0381, 0.0653), abs=1e-4)
    assert wilson(0.0, 100) == pytest.approx((0.0, 0.0370), abs=1e-4)


@pytest.mark.parametrize("cluster", [1, 3, 10])
@pytest.mark.parametrize("weight", [0.05, 0.5])
def test_canary_twice_as_bad_and_at_the_allowance_hardly_ever_advances(cluster, weight):
    """Two claims, each false at most one time in twenty."""
    times = advances(0.01, 0.02, cluster, repetitions=500, weight=weight)
    assert np.isfinite(times).mean() <= 0.10


@pytest.mark.parametrize("base", [0.0001, 0.001, 0.01])
def test_healthy_canary_may_advance_within_twenty_minutes(base):
    assert np.median(advances(base, base, 1, repetitions=200)) <= 1200


def test_split_of_two_alike_is_called_worse_at_most_alpha_of_the_time():
    """Errors and the interval may both say so; the machine itself, looked at after every window."""
    plan = RolloutPlan(steps=(50,), strategy=Strategy.AB, deadline_seconds=1e9)
    rng, blamed = np.random.default_rng(21), 0
    for _ in range(100):
        state, total = begin_step(begin(plan, "2", "1"), 50, Reading(generation="g"), now=0.0), [0] * 4
        for now in range(1, 121):
            for arm in (0, 2):
                total[arm] += 50
                total[arm + 1] += int(rng.binomial(50, 0.1))
            counts = dict(zip(COUNTS, total, strict=True))
            state = advance(plan, state, Reading(generation="g", **counts), now=float(now))
        blamed += state.phase is Phase.ROLLED_BACK
    assert blamed / 100 <= 0.05


def test_compiled_tests_stop_where_the_core_stops():
    assert linked_as_the_core_links()


WORST = [(20, 0.5, 1e-4, 12), (50, 0.25, 1e-4, 12), (200, 0.25, 1e-3, 12), (50, 0.05, 1e-3, 12)]


@pytest.mark.parametrize("kind", KINDS)
def test_bursts_that_stick_to_one_arm_blame_a_healthy_canary_at_most_one_time_in_twenty(kind):
    with_it, without = (burst_rollbacks(2000, horizon, kind, WORST) for horizon in (HORIZON, 0.0))
    assert max(with_it.values()) <= 0.05
    assert max(without.values()) > 0.15


@pytest.mark.parametrize("rps", [20, 50])
@pytest.mark.parametrize("rate", [0.20, 0.05, 0.02])
def test_regression_is_found_nearly_as_soon_though_causes_may_be_linked(rps, rate):
    with_it, without = (linked_ladder(1000, horizon, rps, rate) for horizon in (HORIZON, 0.0))
    assert with_it <= 1.5 * without + 2  # found at the end of a window


@pytest.mark.parametrize("weight", [0.05, 0.25, 0.5])
def test_canary_that_goes_down_in_a_step_is_found_in_a_few_windows(weight):
    assert found_in_a_step(100, HORIZON, 50, weight, 1.0) <= 12


@pytest.mark.parametrize("lag", [0.0, 10.0])
@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_outage_of_both_blames_no_slower_canary(lag, rate):
    cells = [(50, weight, 0.001, rate, lag) for weight in (0.05, 0.5)]
    assert max(shared_rollbacks(800, HORIZON, cells).values()) <= 0.05


def test_canary_alone_that_is_down_is_found_at_once_and_later_as_soon_as_a_cause_has_ended():
    assert alone_found(40, HORIZON, 50, 1.0) == 4
    assert alone_found(40, HORIZON, 50, 1.0, since=300.0) <= 30


@pytest.mark.parametrize("burst", [(10.0, 0.3), (10.0, 1.0), (20.0, 0.5), (0.0, 0.0)])
def test_bursts_below_the_allowance_blame_a_canary_that_is_alone_at_most_one_time_in_twenty(burst):
    cells = [(rps, 0.019, *burst) for rps in (20, 200)]
    assert max(alone_rollbacks(1500, HORIZON, cells).values()) <= 0.05
