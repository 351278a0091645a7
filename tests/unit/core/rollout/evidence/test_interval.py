from __future__ import annotations

import math

import numpy as np
import pytest

from airflow_mlops.core.rollout.evidence.interval import OddsRatioInterval
from airflow_mlops.core.rollout.evidence.share import ArmCounts


def window(canary, canary_errors, stable, stable_errors):
    return ArmCounts(
        canary_requests=canary,
        canary_errors=canary_errors,
        stable_requests=stable,
        stable_errors=stable_errors,
    )


def drawn(rng, ratio, base=0.1, canary=40, stable=60):
    odds = ratio * base / (1 - base)
    return window(canary, rng.binomial(canary, odds / (1 + odds)), stable, rng.binomial(stable, base))


def test_nothing_seen_excludes_nothing():
    test = OddsRatioInterval()
    for nothing in ((10, 0, 10, 0), (0, 0, 10, 5), (10, 5, 0, 0)):
        test.observe(window(*nothing))
    assert (test.bounds, test.excludes_one) == ((0.0, math.inf), False)
    assert test.sentence() == "odds ratio canary : stable between 0 and inf (95% at any time)"


@pytest.mark.parametrize(("ratio", "side"), [(0.4, "better"), (2.5, "worse"), (1.0, "alike")])
def test_interval_holds_the_truth_and_leaves_one_outside_when_the_arms_differ(ratio, side):
    rng, test = np.random.default_rng(3), OddsRatioInterval()
    for _ in range(200):
        test.observe(drawn(rng, ratio))
    low, high = test.bounds
    assert low <= ratio <= high
    assert {"better": high <= 1, "worse": low >= 1, "alike": low < 1 < high}[side]
    assert test.excludes_one is (side != "alike")


def test_arms_that_always_fail_are_alike():
    test = OddsRatioInterval()
    for _ in range(50):
        test.observe(window(10, 10, 10, 10))
    assert not test.excludes_one


def test_state_survives_json():
    test = OddsRatioInterval()
    test.observe(window(10, 3, 10, 1))
    assert OddsRatioInterval.from_json(test.to_json()) == test


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [0.5, 1.0, 3.0])
def test_truth_ever_leaves_the_interval_at_most_alpha_of_the_time(ratio):
    rng, missed = np.random.default_rng(1), 0
    for _ in range(60):
        test = OddsRatioInterval(alpha=0.05)
        for _ in range(150):
            test.observe(drawn(rng, ratio))
        low, high = test.bounds  # once excluded is nearly always excluded: the products drift away
        missed += not low <= ratio <= high
    assert missed / 60 <= 0.05
