"""Limits in another unit, and samples that show nothing: neither may let a challenger through."""

from __future__ import annotations

import numpy as np
import pytest

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.validation.comparison import judge_candidate
from airflow_mlops.core.validation.policy import FairnessPolicy, ValidationPolicy, alpha_of_try
from airflow_mlops.core.validation.report import ComparisonAnswer
from airflow_mlops.core.validation.sample import BASELINE, CHALLENGER, CHAMPION, Sample
from airflow_mlops.core.verdict import Outcome

UNITS = {
    "margin in per cent": (
        {"margin": {"roc_auc": 2}},
        r"validate\.margin\.roc_auc: 2, allowed: .*0\.02 is two",
    ),
    "margin that is no number": (
        {"margin": {"mae": np.nan}},
        r"validate\.margin\.mae: nan, allowed: a number",
    ),
    "margin without end": (
        {"margin": {"mae": np.inf}},
        r"validate\.margin\.mae: inf, allowed: a number from 0",
    ),
    "floor in per cent": (
        {"floor": {"roc_auc": 80}},
        r"validate\.floor\.roc_auc: 80, allowed: a number to 1",
    ),
    "floor of a loss": (
        {"floor": {"log_loss": 0.5}},
        r"validate\.floor\.log_loss: less is better, allowed: .*more is better; give it a ceiling",
    ),
    "ceiling of a score": (
        {"ceiling": {"roc_auc": 0.9}},
        r"validate\.ceiling\.roc_auc: more is better, .*give it a floor",
    ),
    "ceiling of a negated loss": ({"ceiling": {"neg_log_loss": -0.5}}, "neg_log_loss: more is better"),
    "share in per cent": (
        {"relative_margin": {"mae": 5}},
        r"relative_margin\.mae: 5, allowed: a share from 0",
    ),
    "total margin below one margin": ({"total_margin": 0.5}, "total_margin: 0.5 margins, allowed: 1 or more"),
    "no total margin": ({"total_margin": np.nan}, "total_margin: nan margins, allowed: 1 or more"),
    "no row of a class": ({"min_class_rows": 0}, r"validate\.min_class_rows: 0, allowed: 2 or more"),
    "alpha in per cent": ({"alpha": 5}, r"validate\.alpha: 5, allowed: above 0 up to 0\.5"),
    "few resamples": ({"resamples": 10}, r"validate\.resamples: 10, allowed: 100 or more"),
}


@pytest.mark.parametrize(("wrong", "named"), UNITS.values(), ids=UNITS)
def test_bar_in_another_unit_is_refused_before_anything_runs(wrong, named):
    with pytest.raises(InvalidConfigError, match=named):
        ValidationPolicy(**wrong)


def test_fairness_in_per_cent_is_refused():
    with pytest.raises(InvalidConfigError, match=r"validate\.fairness\.sex\.recall: 5, allowed"):
        FairnessPolicy(column="sex", metric="recall", limit=5)


def agreeing(rows, scores, theirs):
    """Return a sample whose predicted classes are all right, whatever the scores."""
    labels = np.arange(rows) % 2 * 1.0
    sure = {CHALLENGER: scores, CHAMPION: theirs, BASELINE: 0.5}
    return Sample(labels, {name: np.where(labels > 0, 1 - s, s) * 1.0 for name, s in sure.items()})


def test_floor_is_not_cleared_by_a_few_rows_that_are_all_right():
    policy = ValidationPolicy(margin={"accuracy": 0.5}, floor={"accuracy": 0.95}, resamples=100, slices=None)
    (few,) = [
        f for f in judge_candidate(agreeing(40, 0.1, 0.1), policy).verdict.findings if f.check == "floor"
    ]
    (many,) = [
        f for f in judge_candidate(agreeing(400, 0.1, 0.1), policy).verdict.findings if f.check == "floor"
    ]
    assert (few.outcome, many.outcome) == (Outcome.INCONCLUSIVE, Outcome.PASS)
    assert "accuracy 1.0000 (lower bound 0.9251), floor 0.95" in few.reason


def test_ceiling_of_a_loss_is_compared_with_the_upper_bound():
    policy = ValidationPolicy(margin={"accuracy": 0.5}, ceiling={"log_loss": 0.2}, resamples=100, slices=None)
    findings = judge_candidate(agreeing(400, 0.1, 0.1), policy).verdict.findings
    (ceiling,) = [f for f in findings if f.check == "ceiling"]
    assert ceiling.outcome is Outcome.PASS
    assert ceiling.reason == "log_loss 0.1054 (upper bound 0.1653), ceiling 0.2"


def test_models_that_agree_on_few_rows_are_too_close_to_tell_unless_they_are_the_same():
    policy = ValidationPolicy(margin={"accuracy": 0.01}, resamples=100, slices=None)
    other, same = (judge_candidate(agreeing(100, 0.1, s), policy).comparisons[1].answer for s in (0.2, 0.1))
    assert (other, same) == (ComparisonAnswer.TOO_CLOSE, ComparisonAnswer.NOT_WORSE)


def test_first_try_has_all_of_alpha_and_all_later_ones_together_another_alpha():
    spent = [alpha_of_try(0.05, number) for number in range(1, 10_001)]
    assert spent[:3] == [0.05, 0.025, 0.05 / 6]
    assert 0.0999 < sum(spent) < 0.1
    assert spent == sorted(spent, reverse=True)
