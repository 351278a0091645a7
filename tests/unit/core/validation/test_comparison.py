from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from builders import sample

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.validation.comparison import judge_candidate
from airflow_mlops.core.validation.metrics.base import Metric
from airflow_mlops.core.validation.policy import OnUnusableChampion, ValidationPolicy
from airflow_mlops.core.validation.report import ComparisonAnswer
from airflow_mlops.core.validation.sample import BASELINE, CHALLENGER, CHAMPION, Sample
from airflow_mlops.core.verdict import Outcome

POLICY = ValidationPolicy(margin={"brier": 0.005}, resamples=300, min_segment_rows=100)


def judge(sample, policy, **more):
    return judge_candidate(sample, policy, **more).verdict


@pytest.fixture
def rng():
    return np.random.default_rng(42)


def test_equal_model_passes_and_says_so(rng):
    verdict = judge(sample(rng), POLICY)
    assert verdict.outcome is Outcome.PASS
    assert [": not worse (" in f.reason for f in verdict.findings if f.check == "against_champion"] == [True]


def test_better_model_is_called_better(rng):
    verdict = judge(sample(rng, noise=0.02, champion_noise=0.3), POLICY)
    assert verdict.outcome is Outcome.PASS
    assert any("against champion" in f.reason and ": better" in f.reason for f in verdict.findings)


def test_worse_model_fails_with_figures(rng):
    verdict = judge(sample(rng, noise=0.4), POLICY)
    assert verdict.outcome is Outcome.FAIL
    assert any("against champion" in r and ": worse (gain -" in r for r in verdict.reasons)


def test_too_few_rows_to_tell_is_inconclusive_not_a_pass(rng):
    verdict = judge(sample(rng, rows=60, noise=0.12, champion_noise=0.1), POLICY)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    (told,) = [f for f in verdict.findings if f.check == "against_champion"]
    assert told.outcome is Outcome.INCONCLUSIVE
    assert ": too close to tell (" in told.reason


def test_cold_start_is_judged_by_baseline_and_floor_only(rng):
    verdict = judge(sample(rng, champion=False), replace(POLICY, ceiling={"brier": 0.25}))
    assert verdict.outcome is Outcome.PASS
    assert any("no champion" in finding.reason for finding in verdict.findings)
    assert {f.check for f in verdict.findings} - {"note"} == {"against_baseline", "ceiling"}


def test_model_no_better_than_the_baseline_fails_even_at_a_cold_start(rng):
    data = sample(rng, champion=False)
    data.scores[CHALLENGER] = rng.random(len(data.labels))
    verdict = judge(data, POLICY)
    assert verdict.outcome is Outcome.FAIL
    assert "against baseline" in verdict.reasons[0]


def test_segment_that_loses_fails_the_whole_and_is_named(rng):
    segments = {"origin": np.repeat(["JFK", "LGA"], 2000)}
    data = sample(rng, segments=segments)
    data.scores[CHALLENGER][2000:] = np.clip(rng.normal(0.5, 0.3, 2000), 0, 1)
    data.scores[CHALLENGER][:2000] = data.labels[:2000] * 0.8 + 0.1
    verdict = judge(data, POLICY)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reasons[0].startswith("origin=LGA: ")
    assert not any("JFK" in reason for reason in verdict.reasons)


def test_segment_of_three_rows_is_too_small_to_tell_and_warned_of(rng):
    data = sample(rng, segments={"origin": np.array(["EWR"] * 3 + ["JFK"] * 3997)})
    data.scores[CHALLENGER][:3] = 1 - data.labels[:3]
    verdict = judge(data, POLICY)
    assert verdict.outcome is Outcome.WARN
    assert "origin: 1 of 2 segments are too small to tell, 3 rows (0.1% of all): origin=EWR (3)" in (
        verdict.reasons
    )
    assert "origin=EWR: 3 rows are too few to tell (needs 100 rows, 20 of each class and 20 entities)" in [
        f.reason for f in verdict.findings
    ]


@pytest.mark.parametrize(("model", "outcome"), [(CHALLENGER, Outcome.FAIL), (CHAMPION, Outcome.INCONCLUSIVE)])
def test_prediction_that_is_no_number_is_counted(rng, model, outcome):
    data = sample(rng)
    data.scores[model][:7] = np.nan
    verdict = judge(data, POLICY)
    assert verdict.outcome is outcome
    assert f"{model}: 7 of 4000 predictions are NaN" in verdict.reasons[0]


def test_one_class_in_the_holdout_is_inconclusive(rng):
    data = sample(rng)
    data.labels[:] = 1.0
    verdict = judge(data, POLICY)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.reasons == ("all held-back labels are 1: models cannot be told apart",)


@pytest.mark.parametrize("wrong", [{"margin": {}}, {"margin": {"brier": -1}}, {"alpha": 0}, {"resamples": 5}])
def test_bar_that_cannot_be_meant_is_refused(wrong):
    with pytest.raises(InvalidConfigError, match="allowed"):
        ValidationPolicy(**wrong)


def report(sample, policy, **more):
    return judge_candidate(sample, policy, **more)


@pytest.mark.parametrize(
    ("outcome", "policy"),
    [(Outcome.INCONCLUSIVE, {}), (Outcome.WARN, {"on_unusable_champion": OnUnusableChampion.CONTINUE})],
)
@pytest.mark.parametrize("how", ["cannot be loaded", "too short", "other classes"])
def test_champion_that_cannot_be_compared_is_told_and_the_policy_says_what_follows(rng, how, outcome, policy):
    data = sample(rng)
    if how == "cannot be loaded":
        del data.scores[CHAMPION]
        data.unusable[CHAMPION] = "version 3 cannot score the held-back rows: KeyError: 'age'"
        named = "champion version 3 cannot score the held-back rows: KeyError: 'age'"
    elif how == "too short":
        data.scores[CHAMPION] = data.scores[CHAMPION][:-1]
        named = r"champion: predictions have shape \(3999,\), allowed \(4000,\) or \(4000, classes\)"
    else:
        data.scores[CHAMPION] = np.ones((4000, 1))
        named = "champion: predicts 1 classes, the labels have 2"
    verdict = judge(data, replace(POLICY, **policy))
    assert verdict.outcome is outcome
    assert re.search(named, verdict.reasons[0])
    assert ("baseline and floor only" in verdict.reasons[0]) is bool(policy)
    assert any(finding.check == "against_baseline" for finding in verdict.findings)


def test_challenger_that_cannot_score_fails_whatever_the_rest(rng):
    data = sample(rng)
    del data.scores[CHALLENGER]
    data.unusable[CHALLENGER] = "version 4 cannot score the held-back rows: ValueError: no"
    verdict = judge(data, POLICY)
    assert (verdict.outcome, verdict.reasons[0][:20]) == (Outcome.FAIL, "challenger version 4")


def test_missing_labels_are_counted_and_inconclusive(rng):
    data = sample(rng)
    data.labels[:9] = np.nan
    verdict = judge(data, POLICY)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "9 of 4000 held-back labels are missing" in verdict.reasons[0]


def test_no_rows_are_inconclusive():
    verdict = judge(Sample(np.array([]), {CHALLENGER: np.array([])}), POLICY)
    assert (verdict.outcome, verdict.reasons[0]) == (Outcome.INCONCLUSIVE, "no held-back rows to compare on")


def test_typing_error_in_a_metric_is_a_named_error(rng):
    with pytest.raises(InvalidConfigError, match="did you mean 'brier'"):
        judge(sample(rng), ValidationPolicy(margin={"brierr": 0.01}))


@pytest.mark.parametrize(("share", "outcome"), [(0.4, Outcome.PASS), (0.01, Outcome.FAIL)])
def test_relative_margin_is_a_share_of_the_champions_absolute_value(rng, share, outcome):
    data = sample(rng, noise=0.25)
    policy = ValidationPolicy(margin={}, relative_margin={"neg_brier_score": share}, resamples=300)
    (one,) = [c for c in report(data, policy).comparisons if c.rival == CHAMPION]
    assert one.allowed == pytest.approx(share * abs(one.other))
    assert one.other < 0
    assert judge(data, policy).outcome is outcome


def test_comparisons_and_the_rows_digest_are_kept(rng):
    data = replace(sample(rng, segments={"origin": np.repeat(["JFK", "LGA"], 2000)}), digest="sha256:ab")
    found = report(data, POLICY)
    assert (found.rows, found.rows_digest) == (4000, "sha256:ab")
    assert {(c.rival, c.segment) for c in found.comparisons} == {
        (BASELINE, ""),
        (CHAMPION, ""),
        (CHAMPION, "origin=JFK"),
        (CHAMPION, "origin=LGA"),
    }
    assert type(found).from_json(found.to_json()) == found
    assert any("sha256:ab" in finding.reason for finding in found.verdict.findings)


def test_judging_twice_gives_the_same(rng):
    data = sample(rng, segments={"origin": np.repeat(["JFK", "LGA"], 2000)})
    assert report(data, POLICY) == report(data, POLICY)


def test_author_s_metric_decides_like_any_other(rng):
    def profit(labels, scores, weights):
        return float(np.average(np.where(scores >= 0.5, labels * 2 - 1, 0), weights=weights))

    own = [Metric(name="profit", sign=1, function=profit)]
    policy = ValidationPolicy(
        margin={"profit": 0.5}, floor={"profit": 0.05}, max_segment_drop=0.1, resamples=150
    )
    data = sample(rng, segments={"origin": np.repeat(["JFK", "LGA"], 2000)})
    verdict = judge(data, policy, own=own)
    assert verdict.outcome is Outcome.PASS
    assert sum("profit" in one.reason for one in verdict.findings if one.check != "note") == 5
    verdict = judge(data, replace(policy, floor={"profit": 0.9}), own=own)
    assert verdict.outcome is Outcome.FAIL
    assert [reason.split()[0] for reason in verdict.reasons] == ["profit"]


def test_three_classes_and_their_metrics(rng):
    labels = rng.integers(0, 3, 3000).astype(float)
    sure = np.eye(3)[labels.astype(int)] * 0.5 + rng.dirichlet(np.ones(3), 3000) * 0.5
    scores = {CHALLENGER: sure, CHAMPION: sure[:, [0, 1, 2]], BASELINE: np.full((3000, 3), 1 / 3)}
    policy = ValidationPolicy(
        margin=dict.fromkeys(("accuracy", "log_loss", "f1_macro", "roc_auc_ovr"), 0.01), resamples=200
    )
    assert judge(Sample(labels, scores), policy).outcome is Outcome.PASS
    scores[CHALLENGER] = np.roll(sure, 1, axis=1)
    assert judge(Sample(labels, scores), policy).outcome is Outcome.FAIL


def reciprocal_ranks(labels, scores):
    """One value a query of ten answers: of the rank of the first relevant one."""
    best_first = np.argsort(-scores.reshape(-1, 10))
    relevant = np.take_along_axis(labels.reshape(-1, 10) > 0, best_first, axis=1)
    return 1 / (relevant.argmax(axis=1) + 1)


def test_answers_to_queries_are_drawn_query_by_query(rng):
    queries = np.repeat(np.arange(300), 10)
    labels = rng.integers(0, 3, 3000).astype(float)
    scores = {
        CHALLENGER: labels + rng.normal(size=3000),
        CHAMPION: labels + rng.normal(size=3000),
        BASELINE: np.zeros(3000),
    }
    policy = ValidationPolicy(margin={"ndcg@5": 0.05, "mrr": 0.1, "map": 0.05}, resamples=200)
    found = report(Sample(labels, scores, queries=queries), policy)
    assert found.verdict.outcome is Outcome.PASS
    assert {c.metric for c in found.comparisons} == {"ndcg@5", "mrr", "map"}
    (mrr,) = [c for c in found.comparisons if (c.rival, c.metric) == (CHAMPION, "mrr")]
    gains = reciprocal_ranks(labels, scores[CHALLENGER]) - reciprocal_ranks(labels, scores[CHAMPION])
    assert mrr.gain == pytest.approx(gains.mean())
    assert mrr.upper - mrr.lower == pytest.approx(2 * 1.645 * gains.std() / 300**0.5, rel=0.3)


def test_few_entities_are_too_small_to_tell_however_many_rows(rng):
    data = replace(sample(rng, noise=0.02, champion_noise=0.3), entities=np.arange(4000) % 9)
    verdict = judge(data, POLICY)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "too few to tell (needs 100 rows, 20 of each class and 20 entities)" in verdict.reasons[0]


def test_segment_without_one_of_the_classes_is_too_small_to_tell(rng):
    data = sample(rng, segments={"origin": np.repeat(["JFK", "LGA"], [3000, 1000])})
    data.labels[3000:] = 0
    told = {c.segment: c.answer for c in report(data, POLICY).comparisons if c.segment}
    assert told["origin=LGA"] is ComparisonAnswer.TOO_SMALL
    assert told["origin=JFK"] is ComparisonAnswer.NOT_WORSE


def test_infinite_loss_is_said_to_have_no_value_and_never_passes(rng):
    labels = rng.poisson(3, 500).astype(float)
    scores = {CHALLENGER: np.zeros(500), CHAMPION: np.full(500, 3.0), BASELINE: np.full(500, 3.0)}
    verdict = judge(Sample(labels, scores), ValidationPolicy(margin={"poisson_deviance": 0.1}, resamples=100))
    assert verdict.outcome is Outcome.FAIL  # it is not shown better than the baseline
    assert {(f.check, f.outcome) for f in verdict.findings if "none for challenger" in f.reason} == {
        ("against_baseline", Outcome.FAIL),
        ("against_champion", Outcome.INCONCLUSIVE),
    }


def test_every_model_is_measured_with_bounds_where_a_margin_or_a_floor_asks(rng):
    policy = replace(POLICY, floor={"roc_auc": 0.6}, alpha=0.1)
    report = judge_candidate(sample(rng), policy)
    assert [(one.metric, one.model) for one in report.values] == [
        (metric, model) for metric in ("brier", "roc_auc") for model in (CHALLENGER, CHAMPION, BASELINE)
    ]
    assert all(one.lower <= one.value <= one.upper for one in report.values)
    assert report.alpha == 0.1
    gain = next(c for c in report.comparisons if (c.rival, c.metric) == (CHAMPION, "brier"))
    assert report.values[0].value == gain.challenger
    alone = judge_candidate(sample(rng, champion=False), policy)
    assert CHAMPION not in {one.model for one in alone.values}
    assert judge_candidate(Sample(np.zeros(9), {}), policy).values == ()
