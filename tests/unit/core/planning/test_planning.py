"""What a claim needs is predicted by a closed form around the core's own p-values; simulation agrees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.monitoring.alarm import JudgedWindow, judge_windows
from airflow_mlops.core.monitoring.performance import Promise, judge_performance
from airflow_mlops.core.monitoring.performance_policy import PerformancePolicy
from airflow_mlops.core.planning.claims import Large, needs
from airflow_mlops.core.planning.power import least_rows, power_of_one
from airflow_mlops.core.planning.present import Present, never_decided
from airflow_mlops.core.planning.requests import requests_to_advance, requests_to_find_a_drop
from airflow_mlops.core.planning.rests import rests_of
from airflow_mlops.core.planning.worlds import Assumed, is_plannable, needs_value
from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.core.validation.comparison import judge_candidate
from airflow_mlops.core.validation.policy import ValidationPolicy
from airflow_mlops.core.validation.report import ComparisonAnswer
from airflow_mlops.core.validation.sample import BASELINE, CHALLENGER, CHAMPION, Sample

AGREES = 0.08
"""Most by which predicted and simulated power may differ, at 200 repetitions (standard error .028)."""
GOOD = (ComparisonAnswer.BETTER, ComparisonAnswer.NOT_WORSE)
AREA = Assumed(metric="roc_auc", value=0.85, prevalence=0.2)
CASES = {
    "roc_auc": (AREA, 0.04),
    "rare positives": (replace(AREA, prevalence=0.05), 0.04),
    "accuracy": (Assumed(metric="accuracy", value=0.85), 0.03),
    "precision": (Assumed(metric="precision", value=0.8, prevalence=0.1), 0.08),
    "f1": (Assumed(metric="f1", value=0.6, prevalence=0.2), 0.06),
    "log_loss": (Assumed(metric="log_loss", prevalence=0.2), 0.03),
    "rmse": (Assumed(metric="rmse", value=2.0, correlation=0.8), 0.12),
}


def policy_of(assumed, margin, **more):
    return ValidationPolicy(margin={assumed.metric: margin}, resamples=400, slices=None, **more)


def judged(assumed, policy, rows, repetitions, segments=0):
    rng = np.random.default_rng(1)
    for _ in range(repetitions):
        sample = assumed.sample(rng, rows)
        if segments:
            sample.segments["part"] = np.arange(rows) % segments
        yield judge_candidate(sample, replace(policy, seed=int(rng.integers(1 << 31))))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_predicted_power_is_the_simulated_one(name):
    assumed, margin = CASES[name]
    policy = policy_of(assumed, margin)
    rows = next(one.rows for one in needs(Large(assumed, policy)))
    passed = [
        next(one.answer in GOOD for one in report.comparisons if one.rival == CHAMPION)
        for report in judged(assumed, policy, rows, 200)
    ]
    assert abs(np.mean(passed) - 0.8) <= AGREES


@pytest.mark.slow
def test_predicted_power_in_three_segments_is_the_simulated_one():
    policy = policy_of(AREA, 0.04, max_segment_drop=0.04)
    need = needs(Large(AREA, policy), (1 / 3,) * 3)[-1]
    passed = [
        all(one.answer in GOOD for one in report.comparisons if one.segment)
        for report in judged(AREA, policy, need.rows, 150, segments=3)
    ]
    assert need.claim == "3 segments: not worse in any"
    assert abs(np.mean(passed) - 0.8) <= AGREES + 0.02


@pytest.mark.slow
def test_predicted_power_of_a_floor_is_the_simulated_one():
    policy = policy_of(AREA, 0.05, floor={"roc_auc": 0.8})
    need = next(one for one in needs(Large(AREA, policy)) if "floor" in one.claim)
    passed = [
        next(one.outcome.is_accepted for one in report.verdict.findings if one.check == "floor")
        for report in judged(AREA, policy, need.rows, 200)
    ]
    assert abs(np.mean(passed) - 0.8) <= AGREES


def test_needs_grow_as_the_margin_and_the_positives_become_smaller():
    def rows(prevalence, margin):
        assumed = replace(AREA, prevalence=prevalence)
        return needs(Large(assumed, policy_of(assumed, margin)))[0].rows

    usual, strict, rare = rows(0.2, 0.02), rows(0.2, 0.01), rows(0.02, 0.02)
    assert 3 < strict / usual < 5
    assert rare / usual > 6


def test_power_of_the_rows_that_are_there_is_said_and_fewest_rows_of_a_class_are_counted():
    policy = policy_of(AREA, 0.05)
    few, many = (needs(Large(AREA, policy), present=rows)[0] for rows in (60, 5000))
    assert few.power < 0.05
    assert many.power > 0.99
    strict = replace(policy, min_class_rows=1000)
    assert needs(Large(AREA, strict))[0].rows > 4900


def test_floor_that_the_champion_does_not_reach_is_never_cleared():
    policy = policy_of(AREA, 0.05, floor={"roc_auc": 0.9})
    assert next(one for one in needs(Large(AREA, policy)) if "floor" in one.claim).rows is None


def test_ceiling_of_a_loss_is_planned_like_a_floor():
    assumed = Assumed(metric="rmse", value=2.0)
    policy = policy_of(assumed, 0.5, ceiling={"rmse": 2.2})
    need = next(one for one in needs(Large(assumed, policy)) if "ceiling" in one.claim)
    assert 100 < need.rows < 1000


def test_level_is_the_one_that_is_claimed_at_the_margin_itself():
    """A challenger worse by exactly the margin: the truth of the claim is 0."""
    claim = replace(Large(AREA, policy_of(AREA, 0.05)).not_worse("roc_auc"), truth=0.0)
    assert 0.01 < power_of_one(claim, 3000, 0.05) <= 0.051


@pytest.mark.parametrize("wanted", [25, 500, 12_345, 10**7])
def test_fewest_rows_are_found_to_a_hundredth(wanted):
    found = least_rows(lambda rows: float(rows >= wanted), 0.8)
    assert wanted <= found <= wanted * 1.011 + 1
    assert least_rows(lambda rows: 0.0, 0.8) is None


def test_canary_without_an_error_needs_182_batches_below_two_per_cent():
    assert requests_to_advance(RolloutPlan(), 10, 0.0) == 1820
    assert requests_to_advance(RolloutPlan(burst=1), 10, 0.0) == 190
    assert requests_to_advance(RolloutPlan(burst=1, min_requests=500), 10, 0.0) == 500
    assert requests_to_advance(RolloutPlan(burst=1), 10, 0.01) > 500
    assert requests_to_advance(RolloutPlan(burst=1), 0.5, 0.02) is None


@pytest.mark.parametrize(("parts", "least", "most"), [(1, 0.7, 0.92), (4, 0.5, 0.85)])
def test_planned_drop_is_an_alarm_in_one_window_and_somewhat_less_often_in_four_of_as_many_requests(
    parts, least, most
):
    assumed = Assumed(metric="accuracy", value=0.85)
    large = Large(assumed, policy_of(assumed, 0.05))
    limits = PerformancePolicy(metric="accuracy", resamples=200, min_rows=50)
    requests, rng, alarms = requests_to_find_a_drop(large, limits, 5000), np.random.default_rng(3), 0
    its = large.promise("accuracy", 0.85).at(5000)
    promise = Promise(value=0.85, lower=its.lower(0.05), upper=its.upper(0.05), rows=5000)
    for _ in range(100):
        windows = []
        for place in range(parts):
            sample = replace(assumed, value=0.81).sample(rng, requests // parts)
            _, seen = judge_performance(sample.labels, sample.scores[CHALLENGER], promise, limits)
            windows.append(JudgedWindow.of(str(place), seen))
        alarms += judge_windows(windows, promise, limits).p_value <= limits.alpha
    assert least <= alarms / 100 <= most


def test_drop_in_production_needs_fewer_requests_the_surer_the_promise_is():
    assumed = Assumed(metric="rmse", value=1.0, correlation=0.8)
    large = Large(assumed, policy_of(assumed, 0.05))
    limits = PerformancePolicy(metric="rmse", max_drop=0.1, min_rows=50)
    unsure, sure = (requests_to_find_a_drop(large, limits, rows) for rows in (150, 5000))
    assert 50 <= sure < 300
    assert unsure is None or unsure > 1.5 * sure
    assert requests_to_find_a_drop(large, replace(limits, max_drop=0.0), 5000) is None


@pytest.mark.parametrize("name", ["profit", "sklearn:jaccard", "ndcg", "mape", "roc_auc_ovr"])
def test_metric_that_does_not_follow_from_labels_and_scores_alone_is_refused(name):
    assert not is_plannable(name)
    with pytest.raises(InvalidConfigError, match="cannot be planned without rows"):
        Assumed(metric=name)


@pytest.mark.parametrize(
    "wrong", [{"prevalence": 0.0}, {"prevalence": 1.0}, {"correlation": 1.0}, {"correlation": -0.1}]
)
def test_assumption_that_no_models_meet_is_refused(wrong):
    with pytest.raises(InvalidConfigError, match="allowed"):
        Assumed(metric="roc_auc", **wrong)


def test_value_that_no_model_has_is_refused_with_those_that_there_are():
    impossible = Assumed(metric="accuracy", value=0.5, prevalence=0.1)
    with pytest.raises(InvalidConfigError, match=r"accuracy 0\.5 of the champion, allowed .*: 0\.\d+ to 1"):
        impossible.sample(np.random.default_rng(0), 100)


def test_metrics_with_a_unit_need_the_champions_value():
    assert [name for name in ("rmse", "mae", "r2", "roc_auc", "log_loss") if needs_value(name)] == [
        "rmse",
        "mae",
    ]


PRESENT = Present(rows=4000, held_back=1000)


def present_for(policy, counts=(900, 100), segments=None, entities=None):
    """Return a window with that many held-back rows of each class, in their order."""
    labels = np.repeat(np.arange(len(counts), dtype=float), counts)
    rests = rests_of(labels, policy, classes=len(counts), segments=segments, entities=entities)
    return replace(PRESENT, rests=rests)


def test_margin_below_what_the_rule_of_three_allows_is_never_decided():
    policy = ValidationPolicy(margin={"roc_auc": 0.02, "accuracy": 0.002}, floor={"recall": 0.99})
    assert never_decided(policy, present_for(policy)) == [
        "validate.margin.roc_auc 0.02: needs 150 held-back rows of the rarest class even if no failure is "
        "seen (rule of three), there are 100",
        "validate.margin.accuracy 0.002: needs 1,498 held-back rows even if no failure is seen "
        "(rule of three), there are 1,000",
        "validate.floor.recall 0.99: needs 300 held-back rows of the rarest class even if no failure is seen "
        "(rule of three), there are 100",
    ]
    usual = ValidationPolicy(margin={"roc_auc": 0.04})
    assert never_decided(usual, present_for(usual)) == []


def test_claim_that_no_number_of_rows_decides_and_too_few_rows_of_a_class_are_named():
    policy = ValidationPolicy(margin={"accuracy": 0.0}, min_class_rows=150)
    assert never_decided(policy, present_for(policy)) == [
        "validate.min_class_rows 150: 100 held-back rows of the rarest class, too few to tell: everything",
        "validate.margin.accuracy 0: no number of rows suffices even if no failure is seen (rule of three), "
        "there are 1,000",
    ]


def test_of_three_classes_only_metrics_that_rest_on_the_rarest_are_too_small_as_in_the_verdict():
    policy = ValidationPolicy(
        margin={"log_loss": 0.1, "balanced_accuracy": 0.2},
        floor={"accuracy": 0.6},
        resamples=100,
        slices=None,
    )
    counts = (600, 383, 17)
    assert never_decided(policy, present_for(policy, counts)) == [
        "validate.min_class_rows 20: 17 held-back rows of the rarest class, too few to tell: "
        "balanced_accuracy"
    ]
    labels = np.repeat([0.0, 1.0, 2.0], counts)
    scores = {CHALLENGER: np.eye(3)[labels.astype(int)] * 0.7 + 0.1}
    for rival in (CHAMPION, BASELINE):
        scores[rival] = np.full((1000, 3), 1 / 3)
    report = judge_candidate(Sample(labels, scores, classes=3), policy)
    told = {one.metric: one.answer for one in report.comparisons if one.rival == CHAMPION}
    assert told["balanced_accuracy"] is ComparisonAnswer.TOO_SMALL
    assert told["log_loss"] in GOOD
    (floor,) = [one for one in report.verdict.findings if one.check == "floor"]
    assert floor.outcome.is_accepted


def test_of_three_classes_a_rare_one_weighs_a_third():
    policy = ValidationPolicy(margin={"balanced_accuracy": 0.02})
    assert never_decided(policy, present_for(policy, (700, 236, 64))) == []


def test_segments_with_enough_rows_but_few_of_a_class_are_named_with_the_metric():
    segments = {"part": np.where(np.arange(1000) % 100 < 60, "a", "b")}
    named = (
        "data.segments.part: balanced_accuracy rests on fewer than validate.min_class_rows 45 held-back rows "
        "of the rarest class in 1 of 2 segments, judged only together: b"
    )
    policy = ValidationPolicy(margin={"log_loss": 0.1, "balanced_accuracy": 0.2}, min_class_rows=45)
    present = present_for(policy, (600, 300, 100), segments)
    assert never_decided(policy, replace(present, segments={"part": {"a": 600, "b": 400}})) == [named]


def test_entities_are_what_has_to_be_many():
    policy = ValidationPolicy(margin={"accuracy": 0.05}, entity=("customer",))
    said = never_decided(policy, present_for(policy, entities=np.arange(1000) % 15))
    assert said == [
        "validate.min_class_rows 20: 15 held-back entities, too few to tell: everything",
        "validate.margin.accuracy 0.05: needs 60 held-back entities even if no failure is seen "
        "(rule of three), there are 15",
    ]


def test_numbers_and_metrics_that_do_not_fit_rest_on_no_class():
    policy = ValidationPolicy(margin={"rmse": 0.1, "accuracy": 0.1})
    rests = rests_of(np.linspace(0, 9, 500), policy, classes=0)
    assert {name: (one.units, one.is_too_small) for name, one in rests.items()} == {"rmse": (500, False)}
    assert rests_of(np.arange(500.0), ValidationPolicy(margin={"accuracy": 0.1}), classes=500) == {}


def test_segments_that_are_judged_only_together_are_named_with_their_rows():
    present = replace(PRESENT, segments={"origin": {"JFK": 700, "LGA": 180, "HPN": 120}})
    assert never_decided(ValidationPolicy(margin={"roc_auc": 0.05}), present) == [
        "data.segments.origin: 2 of 3 segments below validate.min_segment_rows 200, judged only together "
        "(held-back rows): HPN (120), LGA (180)"
    ]
    assert present.shares == (0.7, 0.18, 0.12)
