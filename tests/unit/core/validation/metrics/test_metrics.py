from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.validation.bootstrap import Resampling
from airflow_mlops.core.validation.metrics import registry
from airflow_mlops.core.validation.metrics.base import Scored
from airflow_mlops.core.validation.metrics.registry import (
    METRIC_NAMES,
    METRIC_TABLE,
    check_metric,
    default_metrics,
    metric,
)
from airflow_mlops.core.validation.suitability import metric_problem

ROWS, CLASSES = 400, 4


@pytest.fixture
def rng():
    return np.random.default_rng(42)


def hard(score, **more):
    return lambda y, p, w: score(y, p >= 0.5 if p.ndim == 1 else p.argmax(axis=1), sample_weight=w, **more)


def soft(score, **more):
    return lambda y, p, w: score(y, p, sample_weight=w, **more)


def false_alarms(y, p, w):
    return sk.confusion_matrix(y, p >= 0.5, normalize="true", sample_weight=w)[0, 1]


BINARY = {
    "accuracy": hard(sk.accuracy_score),
    "log_loss": soft(sk.log_loss),
    "brier": soft(sk.brier_score_loss),
    "roc_auc": soft(sk.roc_auc_score),
    "average_precision": soft(sk.average_precision_score),
    "precision": hard(sk.precision_score),
    "recall": hard(sk.recall_score),
    "f1": hard(sk.f1_score),
    "balanced_accuracy": hard(sk.balanced_accuracy_score),
    "matthews_corrcoef": hard(sk.matthews_corrcoef),
    "false_positive_rate": false_alarms,
    "selection_rate": lambda y, p, w: np.average(p >= 0.5, weights=w),
}
MANY = {
    "accuracy": hard(sk.accuracy_score),
    "log_loss": soft(sk.log_loss, labels=range(CLASSES)),
    "brier": soft(sk.brier_score_loss, labels=range(CLASSES)),
    "precision_macro": hard(sk.precision_score, average="macro"),
    "recall_macro": hard(sk.recall_score, average="macro"),
    "f1_macro": hard(sk.f1_score, average="macro"),
    "f1_weighted": hard(sk.f1_score, average="weighted"),
    "balanced_accuracy": hard(sk.balanced_accuracy_score),
    "matthews_corrcoef": hard(sk.matthews_corrcoef),
    "roc_auc_ovr": soft(sk.roc_auc_score, multi_class="ovr"),
}
NUMBERS = {
    "mae": soft(sk.mean_absolute_error),
    "mse": soft(sk.mean_squared_error),
    "rmse": soft(sk.root_mean_squared_error),
    "mape": soft(sk.mean_absolute_percentage_error),
    "poisson_deviance": soft(sk.mean_poisson_deviance),
    "r2": soft(sk.r2_score),
    "explained_variance": soft(sk.explained_variance_score),
}
TO_FIRST_ORDER = ("roc_auc", "average_precision", "roc_auc_ovr")
CASES = [
    pytest.param(kind, name, theirs, id=f"{kind}-{name}")
    for kind, table in {"binary": BINARY, "many": MANY, "numbers": NUMBERS}.items()
    for name, theirs in table.items()
]


def rows(kind, rng):
    if kind == "binary":
        return rng.integers(0, 2, ROWS).astype(float), rng.random(ROWS).round(1).clip(0.05, 0.95)  # many ties
    if kind == "many":
        scores = rng.dirichlet(np.ones(CLASSES), ROWS).round(2) + 1e-3
        return rng.integers(0, CLASSES, ROWS).astype(float), scores / scores.sum(axis=1, keepdims=True)
    labels = rng.gamma(2, size=ROWS) + 100
    return labels, labels * rng.uniform(0.5, 1.5, ROWS)


@pytest.mark.parametrize(("kind", "name", "theirs"), CASES)
def test_metric_is_scikit_learns(rng, kind, name, theirs):
    labels, scores = rows(kind, rng)
    assert metric(name).point(labels, scores) == pytest.approx(theirs(labels, scores, None), abs=1e-9)


@pytest.mark.parametrize(("kind", "name", "theirs"), CASES)
def test_resamples_are_scikit_learns_with_the_resamples_weights(rng, kind, name, theirs):
    labels, scores = rows(kind, rng)
    drawn = Resampling.of(ROWS, resamples=200, seed=1)
    (found,) = drawn.draws(metric(name), Scored.of(labels, scores), 1)
    expected = np.array([theirs(labels, scores, weights[drawn.blocks]) for weights in drawn.weights])
    if name in TO_FIRST_ORDER:
        assert np.corrcoef(found.draws, expected)[0, 1] > 0.99
        assert found.draws.std() == pytest.approx(expected.std(), rel=0.05)
    else:
        assert found.draws == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", TO_FIRST_ORDER)
def test_rank_metric_of_a_cell_is_that_of_its_rows_alone(rng, name):
    labels, scores = rows("many" if name == "roc_auc_ovr" else "binary", rng)
    cells = rng.integers(0, 3, ROWS)
    found = Resampling.of(ROWS, resamples=100, seed=1).draws(metric(name), Scored(labels, scores, cells), 3)
    alone = [metric(name).point(labels[cells == one], scores[cells == one]) for one in range(3)]
    assert [one.point for one in found] == pytest.approx(alone)


def per_query(score, labels, scores, queries):
    known = [q for q in np.unique(queries) if labels[queries == q].max() > 0]
    return np.mean([score([labels[queries == q]], [scores[queries == q]]) for q in known])


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("ndcg", sk.ndcg_score),
        ("ndcg@3", lambda y, p: sk.ndcg_score(y, p, k=3)),
        ("map", lambda y, p: sk.label_ranking_average_precision_score(np.array(y) > 0, p)),
    ],
)
def test_ranking_metric_is_scikit_learns_mean_over_queries(rng, name, theirs):
    queries = rng.permutation(np.repeat(np.arange(40), 10))
    labels, scores = rng.integers(0, 4, ROWS).astype(float), rng.normal(size=ROWS).round(1)
    labels[queries == 7] = 0  # nothing relevant: left out
    expected = per_query(theirs, labels, scores, queries)
    assert metric(name).point(labels, scores, queries) == pytest.approx(expected)


def test_reciprocal_rank_counts_a_tied_relevant_answer_as_last():
    labels, queries = np.array([0, 1, 0, 0, 1, 0]), np.array([0, 0, 0, 1, 1, 1])
    assert metric("mrr").point(labels, np.array([3, 2, 1, 2, 2, 1.0]), queries) == pytest.approx(0.5)


def test_ranking_metric_without_a_query_is_a_named_error(rng):
    with pytest.raises(InvalidConfigError, match=r"allowed: validate\.query"):
        metric("ndcg").point(*rows("numbers", rng))


def test_every_name_has_a_formula_and_every_formula_a_name():
    assert [metric(name).name for name in METRIC_NAMES] == list(METRIC_NAMES)
    assert set(registry._formulas()) == set(METRIC_TABLE)


def test_negated_name_turns_the_sign_and_the_direction(rng):
    labels, scores = rows("binary", rng)
    loss, gain = metric("log_loss"), metric("neg_log_loss")
    assert (loss.sign, gain.sign) == (-1, 1)
    assert gain.point(labels, scores) == pytest.approx(-loss.point(labels, scores))


def test_typing_error_is_refused_with_what_is_close_and_what_is_there():
    with pytest.raises(
        InvalidConfigError, match=r"'roc_au' is not known; one of.*; did you mean 'roc_auc'\?"
    ):
        metric("roc_au")
    with pytest.raises(InvalidConfigError, match="did you mean 'profit'"):
        check_metric("profitt", ["profit"])
    with pytest.raises(InvalidConfigError, match="scorers are there only for"):
        metric("sklearn:neg_median_absolute_error")


def test_summary_fits_the_labels(rng):
    assert set(default_metrics(np.array([0.0, 1.0, 1.0]), np.array([0.2, 0.8, 0.6]))) >= {
        "roc_auc",
        "log_loss",
    }
    assert set(default_metrics(rng.normal(size=9), rng.normal(size=9))) == {"mae", "mse"}
    assert "f1_macro" in default_metrics(*rows("many", rng))


@pytest.mark.parametrize("name", ["r2", "explained_variance"])
@pytest.mark.parametrize("constant", [0.1, 7.3, 0.0, 1e9])
def test_share_of_the_variance_has_no_value_where_labels_are_constant_in_one_of_two_cells(name, constant):
    rng = np.random.default_rng(8)
    labels = np.concatenate([np.full(500, constant), rng.normal(constant + 3, 1, 500)])
    scored = Scored(labels, labels + rng.normal(0, 0.1, 1000), np.repeat([0, 1], 500), None)
    one = metric(name)
    sums = np.stack([np.bincount(scored.cells, weights=term) for term in one.rows(scored)])
    idle, busy = one.of(sums)
    assert np.isnan(idle)
    assert 0.9 < busy < 1


@pytest.mark.parametrize("name", ["poisson_deviance", "ndcg", "ndcg@5"])
def test_metric_of_what_is_counted_refuses_labels_below_zero(name):
    labels = np.array([-3.0, 1.0, 2.0])
    assert metric_problem(name, labels, np.ones(3)) == "labels are as low as -3, allowed: 0 and more"
    assert metric_problem(name, np.abs(labels), np.ones(3)) == ""
