from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from airflow_mlops.backends.validation.functions import own_metric, run_checks
from airflow_mlops.backends.validation.scorers import scorer
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.validation.author import OwnCheck, OwnMetric
from airflow_mlops.core.verdict import Finding, Outcome, Severity, Verdict

ROWS = pd.DataFrame({"age": [20.0, 40.0, 60.0], "sex": ["f", "m", "f"]})
SAID = Finding(check="mine", subject="age", outcome=Outcome.FAIL, reason="age: said so")


def predict(rows):
    return rows["age"].to_numpy() / 100


def older_is_never_less(predict, rows):
    """Direction: ten years more never lower the score."""
    assert (predict(rows.assign(age=rows["age"] + 10)) >= predict(rows)).all(), "older scored less"


def sex_changes_nothing(predict, rows):
    """Invariance."""
    changed = predict(rows.assign(sex="x"))
    assert np.allclose(changed, predict(rows))


def the_old_score_high(predict, rows):
    """Minimum functionality, missed on purpose."""
    assert predict(rows).max() > 0.9, f"highest score {predict(rows).max():.2f}, needs 0.9"


def says_so(predict, rows):
    return SAID


def says_verdict(predict, rows):
    return Verdict.of("mine", [SAID])


def says_nothing_found(predict, rows):
    return []


def says_true(predict, rows):
    return True


def breaks(predict, rows):
    raise KeyError("height")


def spoils_the_rows(predict, rows):
    rows.drop(columns="age", inplace=True)


def outcomes(*checks):
    return [(f.subject, str(f.outcome)) for f in run_checks(checks, predict, ROWS)]


def test_invariance_direction_and_minimum_functionality_become_findings():
    checks = [OwnCheck(function=f) for f in (older_is_never_less, sex_changes_nothing, the_old_score_high)]
    assert outcomes(*checks) == [
        ("older_is_never_less", "pass"),
        ("sex_changes_nothing", "pass"),
        ("the_old_score_high", "fail"),
    ]
    told = run_checks(checks[2:], predict, ROWS)[0]
    assert told.reason == "check the_old_score_high: highest score 0.60, needs 0.9"


@pytest.mark.parametrize(
    ("severity", "outcome"), [("critical", "fail"), ("warning", "warn"), ("info", "pass")]
)
@pytest.mark.parametrize("function", [the_old_score_high, says_so, says_verdict])
def test_finding_weighs_no_more_than_its_checks_severity(function, severity, outcome):
    (found,) = run_checks([OwnCheck(function=function, severity=Severity(severity))], predict, ROWS)
    assert (str(found.outcome), str(found.severity)) == (outcome, severity)


@pytest.mark.parametrize(
    ("function", "named"), [(says_true, "returned bool, allowed: None"), (breaks, "KeyError: 'height'")]
)
def test_check_that_cannot_be_read_or_carried_out_is_an_error_never_a_pass(function, named):
    (found,) = run_checks([OwnCheck(function=function)], predict, ROWS)
    assert found.outcome is Outcome.ERROR
    assert named in found.reason


def test_check_that_finds_nothing_passes_and_cannot_spoil_the_rows_for_the_next():
    checks = [OwnCheck(function=spoils_the_rows), OwnCheck(function=says_nothing_found, name="mine")]
    assert outcomes(*checks) == [("spoils_the_rows", "pass"), ("mine", "pass")]
    assert list(ROWS.columns) == ["age", "sex"]


def test_check_that_cannot_be_imported_is_a_named_error():
    with pytest.raises(InvalidConfigError, match=r"validate\.checks 'nowhere:f'"):
        run_checks([OwnCheck(function="nowhere:f")], predict, ROWS)


def test_own_metric_gets_labels_scores_and_weights():
    cost = own_metric(
        OwnMetric(name="cost", function=lambda y, p, w: np.average(y - p, weights=w), greater_is_better=False)
    )
    assert cost.sign == -1
    assert cost.function(np.array([1.0, 0.0]), np.array([0.5, 0.5]), np.array([3.0, 1.0])) == 0.25


@pytest.mark.parametrize(
    "function",
    [lambda y, p, w: "much", lambda y, p: 1.0, lambda y, p, w: 1 / 0],
    ids=["text", "two arguments", "raises"],
)
def test_own_metric_that_gives_no_number_is_a_named_error(function):
    mine = own_metric(OwnMetric(name="cost", function=function))
    with pytest.raises(InvalidConfigError, match=r"validate\.metrics\.cost: .*allowed: f\(y_true, y_score"):
        mine.point(np.ones(2), np.ones(2))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("jaccard", lambda y, p, w: sk.jaccard_score(y, p >= 0.5, sample_weight=w)),
        ("average_precision", lambda y, p, w: sk.average_precision_score(y, p, sample_weight=w)),
        ("d2_brier_score", lambda y, p, w: sk.d2_brier_score(y, p, sample_weight=w)),
    ],
)
def test_scorer_of_two_classes_is_scikit_learns(rng, name, theirs):
    labels, scores, weights = rng.integers(0, 2, 99).astype(float), rng.random(99), rng.poisson(1.0, 99) * 1.0
    ours = scorer(f"sklearn:{name}", is_class=True)
    labels, scores = (np.repeat(x, weights.astype(int)) for x in (labels, scores))
    weights = np.ones(len(labels))
    assert (ours.sign, ours.name) == (1, f"sklearn:{name}")
    assert ours.function(labels, scores, weights) == pytest.approx(theirs(labels, scores, weights))


def test_scorer_of_numbers_and_of_three_classes_is_scikit_learns(rng):
    labels, scores, weights = rng.normal(size=99), rng.normal(size=99), np.ones(99)
    median = scorer("sklearn:neg_median_absolute_error", is_class=False)
    assert median.function(labels, scores, weights) == pytest.approx(-np.median(np.abs(labels - scores)))
    labels, scores = rng.integers(0, 3, 99).astype(float), rng.dirichlet(np.ones(3), 99)
    area, theirs = scorer("sklearn:roc_auc_ovr_weighted", is_class=True), sk.roc_auc_score
    expected = theirs(labels, scores, multi_class="ovr", average="weighted")
    assert area.point(labels, scores) == pytest.approx(expected)


def test_resample_without_one_of_the_classes_has_no_value(rng):
    assert np.isnan(
        scorer("sklearn:roc_auc_ovr", is_class=True).point(np.ones(9), rng.dirichlet(np.ones(3), 9))
    )


@pytest.mark.parametrize(
    ("name", "is_class", "named"),
    [
        ("neg_median_absolute_eror", False, "did you mean 'neg_median_absolute_error'"),
        ("f1", True, "allowed: scorers of such labels and predictions"),
        ("roc_auc", True, "allowed: scorers of such labels and predictions"),
    ],
)
def test_scorer_that_is_unknown_or_does_not_fit_is_a_named_error(rng, name, is_class, named):
    labels = np.arange(9) % 3.0
    with pytest.raises(InvalidConfigError, match=named):
        scorer(f"sklearn:{name}", is_class=is_class).point(labels, rng.dirichlet(np.ones(3), 9))


def test_severity_may_be_text_and_an_unknown_one_is_a_named_error():
    assert OwnCheck(function=breaks, severity="warning").severity is Severity.WARNING
    with pytest.raises(InvalidConfigError, match="severity 'grave', allowed: info, warning, critical"):
        OwnCheck(function=breaks, severity="grave")
