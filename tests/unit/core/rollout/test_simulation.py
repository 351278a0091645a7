"""The tables of bench_canary, asserted: false rollbacks, time to roll back, false advances."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[4] / "benchmarks"))
from bench_canary import advances, agrees_with_the_core, false_rollbacks, ladder
from canary_rules import ShareRule

pytestmark = pytest.mark.slow


def ours(size):
    return [ShareRule(size)]


def test_arrays_of_the_simulation_stop_where_the_core_stops():
    assert agrees_with_the_core()


def test_healthy_canary_is_rolled_back_at_most_one_time_in_twenty_in_every_cell():
    cells, shares = false_rollbacks(ours, repetitions=1000)
    found = shares["share test"]
    assert len(cells) == 135
    assert {cell: share for cell, share in zip(cells, found, strict=True) if share > 0.05} == {}
    assert found.mean() > 0.01


@pytest.mark.parametrize(("rate", "limit"), [(0.20, 20), (0.05, 60), (0.02, 600)])
def test_regression_is_found_in_the_stated_time_at_50_requests_a_second(rate, limit):
    assert ladder(ours, 50, rate, repetitions=400)["share test"][0] <= limit


@pytest.mark.parametrize("cluster", [1, 3, 10])
@pytest.mark.parametrize("weight", [0.05, 0.5])
def test_canary_twice_as_bad_and_at_the_allowance_hardly_ever_advances(cluster, weight):
    """Two claims, each false at most one time in twenty."""
    times = advances(0.01, 0.02, cluster, repetitions=500, weight=weight)
    assert np.isfinite(times).mean() <= 0.10


@pytest.mark.parametrize("base", [0.0001, 0.001, 0.01])
def test_healthy_canary_may_advance_within_twenty_minutes(base):
    assert np.median(advances(base, base, 1, repetitions=200)) <= 1200
