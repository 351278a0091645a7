from __future__ import annotations

import numpy as np
import pytest

from airflow_mlops.core.errors import InvalidRecordError
from airflow_mlops.core.rollout.evidence.prediction import BinCounts, PredictionShareTest

FLAT = np.full(10, 0.1)


def counts(rng, canary, stable, shares=FLAT):
    return BinCounts(
        canary=tuple(map(int, rng.multinomial(canary, shares))),
        stable=tuple(map(int, rng.multinomial(stable, FLAT))),
    )


def test_shift_of_the_predictions_is_found_in_its_bin():
    rng, test = np.random.default_rng(0), PredictionShareTest()
    shifted = np.array([0.1] * 8 + [0.02, 0.18])
    for _ in range(80):
        test.observe(counts(rng, 25, 75, shifted))
    assert test.differs
    assert test.strangest_bin == 9


@pytest.mark.parametrize("nothing", [((0, 0), (5, 5)), ((5, 5), (0, 0)), ((0, 0), (0, 0))])
def test_window_without_predictions_of_both_arms_says_nothing(nothing):
    test = PredictionShareTest()
    test.observe(BinCounts(canary=nothing[0], stable=nothing[1]))
    assert (test.e_value, test.differs) == (1.0, False)


def test_empty_bin_says_nothing():
    test = PredictionShareTest()
    test.observe(BinCounts(canary=(0, 10), stable=(0, 90)))
    assert test.e_value == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("canary", "stable", "named"),
    [((1,), (1, 2), "1 of canary, 2 of stable"), ((), (), "0 of canary"), ((-1,), (1,), "negative")],
)
def test_bins_that_cannot_be_compared_are_refused(canary, stable, named):
    with pytest.raises(InvalidRecordError, match=named):
        BinCounts(canary=canary, stable=stable)


def test_bins_may_not_change_their_number():
    test = PredictionShareTest()
    test.observe(BinCounts(canary=(1, 2), stable=(3, 4)))
    with pytest.raises(InvalidRecordError, match="bins: 3, before: 2"):
        test.observe(BinCounts(canary=(1, 2, 3), stable=(3, 4, 5)))


def test_state_survives_json():
    test = PredictionShareTest()
    test.observe(BinCounts(canary=(1, 2), stable=(3, 4)))
    assert PredictionShareTest.from_json(test.to_json()) == test


@pytest.mark.slow
@pytest.mark.parametrize("canary", [10, 50])
def test_equal_distributions_pause_at_most_alpha_of_the_time(canary):
    rng, paused = np.random.default_rng(canary), 0
    for _ in range(200):
        test = PredictionShareTest(alpha=0.05)
        for _ in range(150):
            test.observe(counts(rng, canary, 100 - canary))
            if test.differs:
                paused += 1
                break
    assert paused / 200 <= 0.05
