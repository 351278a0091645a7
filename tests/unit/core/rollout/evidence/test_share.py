from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import nchypergeom_fisher

from airflow_mlops.core.errors import InvalidConfigError, InvalidRecordError
from airflow_mlops.core.rollout.evidence.interval import OddsRatioInterval
from airflow_mlops.core.rollout.evidence.prediction import PredictionShareTest
from airflow_mlops.core.rollout.evidence.share import ErrorShareTest, StepDecision


def test_canary_that_fails_alone_is_rolled_back_within_few_errors():
    test = ErrorShareTest(alpha=0.05)
    first = test.update(10, 1, 190, 0)
    second = test.update(10, 1, 190, 0)
    assert (first.decision, second.decision) == (StepDecision.CONTINUE, StepDecision.ROLL_BACK)
    assert "rolls back at 20" in second.reasons[0]


def test_e_value_is_the_formula_of_the_window_share():
    share, seen = 0.2, 0.75
    ratios = np.array([1.25, 1.5, 2, 3, 5, 10, 30, 100, 1000])
    rates = (ratios - 1) / (1 + share * (ratios - 1))
    expected = (1 + rates * (seen - share)).mean()
    assert ErrorShareTest().update(20, 3, 80, 1).e_value == pytest.approx(expected)


@pytest.mark.parametrize("counts", [(10, 0, 90, 0), (10, 3, 0, 0), (0, 0, 90, 9)])
def test_window_that_says_nothing_about_shares_changes_nothing(counts):
    test = ErrorShareTest()
    assert test.update(*counts).e_value == 1.0


def test_outage_of_both_arms_does_not_roll_back():
    test = ErrorShareTest()
    decisions = {test.update(10, 10, 90, 90).decision for _ in range(100)}
    assert StepDecision.ROLL_BACK not in decisions


def test_canary_as_good_as_stable_may_advance_on_shares_alone():
    rng, test = np.random.default_rng(5), ErrorShareTest()
    for _ in range(400):
        evidence = test.update(100, rng.binomial(100, 0.02), 100, rng.binomial(100, 0.02))
    assert evidence.decision is StepDecision.ADVANCE


@pytest.mark.parametrize("counts", [(1, 2, 0, 0), (-1, 0, 0, 0), (5, 0, 1, 2)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(InvalidRecordError, match="0 <= errors <= requests"):
        ErrorShareTest().update(*counts)


@pytest.mark.parametrize("test", [ErrorShareTest, PredictionShareTest, OddsRatioInterval])
@pytest.mark.parametrize("alpha", [0, 1, -0.1, float("nan")])
def test_chance_that_is_none_is_refused(test, alpha):
    with pytest.raises(InvalidConfigError, match=r"alpha: .*, allowed: above 0 and below 1"):
        test(alpha=alpha)


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 9), st.integers(0, 9)), max_size=30
    )
)
def test_state_survives_json_anywhere_in_the_sequence(rows):
    straight, broken = ErrorShareTest(), ErrorShareTest()
    for canary, stable, bad, worse in rows:
        counts = (canary, min(bad, canary), stable, min(worse, stable))
        straight.update(*counts)
        broken = ErrorShareTest.from_json(broken.to_json())
        broken.update(*counts)
    assert broken == straight


@given(st.floats(0.01, 0.99), st.integers(0, 20), st.integers(1, 20))
def test_expected_factor_is_one_when_errors_fall_by_share(share, errors_on_canary, errors):
    """Mean over where one error falls: with probability ``share`` on the canary."""
    requests = 1000
    canary = max(1, min(requests - 1, round(share * requests)))
    hit, miss = ErrorShareTest(), ErrorShareTest()
    hit.update(canary, 1, requests - canary, 0)
    miss.update(canary, 0, requests - canary, 1)
    real = canary / requests
    assert real * hit.e_value + (1 - real) * miss.e_value == pytest.approx(1.0)


def test_what_is_undecided_at_the_deadline_is_inconclusive():
    test = ErrorShareTest()
    assert test.update(10, 0, 90, 1).decision is StepDecision.CONTINUE
    assert test.conclude(at_deadline=True).decision is StepDecision.INCONCLUSIVE


def test_window_in_which_everything_fails_does_not_allow_to_advance():
    test = ErrorShareTest()
    decisions = {test.update(100, 100, 100, 100).decision for _ in range(1000)}
    assert decisions == {StepDecision.CONTINUE}
    assert test.harmless_e_value == pytest.approx(1.0)


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_expected_reverse_bet_is_at_most_one_when_the_odds_are_twice_the_stables(canary, stable, data):
    """Mean over Fisher's noncentral hypergeometric distribution: exactly the claim that is to be refuted."""
    errors = data.draw(st.integers(1, canary + stable - 1))
    drawn = nchypergeom_fisher(canary + stable, canary, errors, 2.0)
    mean = 0.0
    for hits in range(max(0, errors - stable), min(canary, errors) + 1):
        test = ErrorShareTest()
        test.update(canary, hits, stable, errors - hits)
        mean += drawn.pmf(hits) * test.harmless_e_value
    assert mean <= 1 + 1e-6


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=9), st.floats(0.01, 0.99))
def test_moving_capital_into_or_out_of_the_bets_does_not_change_the_e_value(errors, share):
    test = ErrorShareTest()
    for bad, worse in errors:
        test.update(20, bad, 80, worse)
    before = test.e_value
    test.keep_back(share)
    assert test.e_value == pytest.approx(before)
    for _ in range(3):
        test.invest()
        assert test.e_value == pytest.approx(before)


def test_canary_that_fails_late_is_found_sooner_with_capital_kept_back():
    stops = []
    for reserve in (0.0, 0.25):
        test = ErrorShareTest()
        if reserve:
            test.keep_back(reserve)
        for _ in range(300):
            test.update(25, 0, 75, 1)
        if reserve:
            test.invest()
        stops.append(next(n for n in range(1, 999) if test.update(50, 5, 50, 0).e_value >= 20))
    assert stops[1] * 3 < stops[0]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_reserve_that_is_no_share_is_refused(share):
    with pytest.raises(InvalidConfigError, match="reserve"):
        ErrorShareTest().keep_back(share)
