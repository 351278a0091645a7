"""Classes of models and data: other words, other types, another order, another positive class."""

from __future__ import annotations

from types import SimpleNamespace

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest

from airflow_mlops.backends.training.rows import Rows
from airflow_mlops.backends.validation.classes import (
    about_positive,
    class_names,
    column_order,
    difference,
    labels_of,
    oriented,
    positive_of,
    recorded_classes,
    served_order,
)
from airflow_mlops.backends.validation.trial import Trial
from airflow_mlops.core.errors import InvalidDataError
from airflow_mlops.core.training.candidate import CLASSES_KEY
from airflow_mlops.core.training.job import DatasetSpec
from airflow_mlops.core.validation.policy import ValidationPolicy
from airflow_mlops.core.verdict import Outcome

SPEC = DatasetSpec(target="y", key=("id",))
POLICY = ValidationPolicy(margin={"roc_auc": 0.01}, resamples=100)


class Classifier:
    """A stored model: probabilities of the classes that it or its metadata names."""

    def __init__(self, classes=None, recorded=None, *, strength=2.0, is_turned=False, is_single=False):
        self.classes, self.strength, self.is_turned, self.is_single = classes, strength, is_turned, is_single
        names = SimpleNamespace(input_names=lambda: None, has_input_names=lambda: False)
        noted = {CLASSES_KEY: recorded} if recorded else None
        self.metadata = SimpleNamespace(get_input_schema=lambda: names, metadata=noted)

    def get_raw_model(self):
        return object() if self.classes is None else SimpleNamespace(classes_=np.array(self.classes))

    def predict(self, rows):
        of_last = 1 / (1 + np.exp(-self.strength * rows["x"].to_numpy()))
        of_last = 1 - of_last if self.is_turned else of_last
        return of_last if self.is_single else np.column_stack([1 - of_last, of_last])


def rows_of(words):
    """Return rows whose target is the first or the last of two words."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=2000)
    is_last = x + rng.normal(size=2000) > 0
    frame = pd.DataFrame({"id": range(2000), "x": x, "y": pd.Series(np.array(words)[is_last.astype(int)])})
    return Rows(frame, ["x"], pd.Series(np.arange(2000) % 3 == 0))


def judged(monkeypatch, target, champion, challenger=None, spec=SPEC):
    models = {"1": champion, "2": challenger or Classifier(strength=0.5)}
    monkeypatch.setattr(mlflow.pyfunc, "load_model", lambda version: models[version])
    registry = SimpleNamespace(download=lambda _model, version, _folder: version)
    versions = {"challenger": "2", "champion": "1"}
    return Trial(data=spec, policy=POLICY).judge(registry, "m", versions, rows_of(target))


def champions(report):
    return [round(v.value, 3) for v in report.values if (v.model, v.metric) == ("champion", "roc_auc")]


@pytest.mark.parametrize(
    ("target", "known"),
    [
        (("late", "punctual"), ["in time", "late"]),
        ((0, 1), ["in time", "late"]),
        ((0, 1), ["False", "True"]),
        ((0, 1), [0, 1, 2]),
        ((0, 1), [1, 2]),
        (("a", "b"), ["A", "B"]),
    ],
)
def test_champion_of_other_classes_is_never_measured(monkeypatch, target, known):
    for champion in (Classifier(known), Classifier([0, 1], [str(name) for name in known])):
        report = judged(monkeypatch, target, champion)
        assert report.verdict.outcome is Outcome.INCONCLUSIVE
        assert "champion version 1 " in report.verdict.sentence()
        assert f"knows the classes {', '.join(map(str, known))}; the data have " in report.verdict.sentence()
        assert champions(report) == []


def test_challenger_of_other_classes_is_never_measured(monkeypatch):
    report = judged(monkeypatch, ("a", "b"), Classifier(["a", "b"]), Classifier(["a", "c"]))
    assert report.verdict.outcome is Outcome.FAIL
    assert report.values == ()
    assert "knows the classes a, c; the data have a, b" in report.verdict.sentence()


@pytest.mark.parametrize("target", [(0, 1), (0.0, 1.0), (False, True), ("0", "1")])
@pytest.mark.parametrize("known", [[0, 1], [0.0, 1.0], [False, True], ["0", "1"]])
def test_one_class_is_one_class_whatever_stores_it(monkeypatch, target, known):
    report = judged(monkeypatch, target, Classifier(known))
    assert report.verdict.outcome is not Outcome.INCONCLUSIVE
    assert champions(report)[0] > 0.8


@pytest.mark.parametrize("is_single", [False, True])
@pytest.mark.parametrize(("target", "known"), [((0, 1), [1, 0]), (("a", "b"), ["b", "a"])])
def test_another_order_of_the_same_classes_is_put_right(monkeypatch, target, known, is_single):
    turned = Classifier(known, is_turned=True, is_single=is_single)
    assert champions(judged(monkeypatch, target, turned)) == champions(
        judged(monkeypatch, target, Classifier(sorted(known)))
    )


def test_three_classes_are_ordered_by_name():
    order = column_order(["10", "2", "1"], ["1", "2", "10"], may_be_codes=True)
    scores = np.array([[0.1, 0.2, 0.7]])
    np.testing.assert_array_equal(oriented(scores, order), [[0.7, 0.2, 0.1]])


@pytest.mark.parametrize(
    ("target", "stated", "names"),
    [
        (("a", "b"), None, ["a", "b"]),
        (("a", "b"), "a", ["b", "a"]),
        (("a", "b"), "b", ["a", "b"]),
        ((False, True), False, ["1", "0"]),
        ((0.0, 1.0), "0", ["1", "0"]),
        ((1, 2), 2, ["1", "2"]),
    ],
)
def test_positive_class_is_the_stated_one_else_the_last(target, stated, names):
    rows, spec = rows_of(target), DatasetSpec(target="y", positive=stated)
    assert class_names(rows, spec) == names
    assert positive_of(rows, spec) == names[-1]
    sorted_last = rows.frame["y"] == rows.frame["y"].max()
    is_positive = sorted_last if names == sorted(names) else ~sorted_last
    np.testing.assert_array_equal(labels_of(rows, spec, is_matrix=False), is_positive.astype(float))


@pytest.mark.parametrize("stated", ["c", True, 1])
def test_positive_class_that_is_none_of_two_is_named(stated):
    with pytest.raises(InvalidDataError, match=rf"data.positive: {stated!r}, .* of 'y' are a, b"):
        class_names(rows_of(("a", "b")), DatasetSpec(target="y", positive=stated))


def test_stated_positive_class_turns_all_models_alike(monkeypatch):
    spec = DatasetSpec(target="y", key=("id",), positive="a")
    report = judged(monkeypatch, ("a", "b"), Classifier(["a", "b"]), Classifier(["a", "b"]), spec)
    assert champions(report)[0] > 0.8
    coded = Classifier([0, 1], is_turned=True)  # trained on y == "a"
    assert champions(judged(monkeypatch, ("a", "b"), coded, coded, spec)) == champions(report)
    assert any("about class a" in finding.reason for finding in report.verdict.findings)


def test_codes_of_an_estimator_stand_for_any_two_classes_but_recorded_names_do_not(monkeypatch):
    assert champions(judged(monkeypatch, ("a", "b"), Classifier([0, 1])))[0] > 0.8
    report = judged(monkeypatch, ("a", "b"), Classifier([0, 1], ["0", "1"]))
    assert "knows the classes 0, 1; the data have a, b" in report.verdict.sentence()
    assert champions(report) == []


def test_classes_are_recorded_in_the_order_of_the_models_columns():
    rows, turned = rows_of(("a", "b")), SimpleNamespace(classes_=np.array(["b", "a"]))
    stated = DatasetSpec(target="y", positive="a")
    assert recorded_classes(turned, rows, SPEC, is_matrix=False) == ("b", "a")
    assert served_order(turned, rows, SPEC) == [1, 0]
    assert recorded_classes(object(), rows, SPEC, is_matrix=False) == ("a", "b")
    assert recorded_classes(object(), rows, stated, is_matrix=False) == ("b", "a")
    codes, turned = (SimpleNamespace(classes_=np.array(codes)) for codes in ([0, 1], [1, 0]))
    assert recorded_classes(turned, rows, SPEC, is_matrix=False) == ("b", "a")
    assert recorded_classes(codes, rows, SPEC, is_matrix=False) == ("a", "b")
    assert recorded_classes(codes, rows, stated, is_matrix=False) == ("b", "a")
    assert recorded_classes(codes, rows_of((0, 1)), SPEC, is_matrix=False) == ("0", "1")
    assert recorded_classes(object(), rows_of((0, 1)), SPEC, is_matrix=False) == ()


def test_answers_are_turned_to_the_positive_class_once():
    labels, scores = np.array([1.0, np.nan]), np.array([0.75, 0.5])
    for classes, positive, expected in [
        (("a", "b"), "a", ([0, np.nan], [0.25, 0.5])),
        (("a", "b"), "b", (labels, scores)),
        (("a", "b"), "", (labels, scores)),
        ((), "", (labels, scores)),
    ]:
        np.testing.assert_array_equal(about_positive(labels, scores, classes, positive), expected)


def test_single_numbers_that_are_no_probabilities_are_not_turned():
    with pytest.raises(InvalidDataError, match="single numbers, allowed: probabilities"):
        oriented(np.array([1.0, 2.0]), [1, 0])


def test_of_many_classes_those_that_differ_are_named():
    known, there = [f"c{i}" for i in range(30)], [f"c{i}" for i in range(29)]
    assert difference(known, there) == "knows the classes c29; the data have none besides"
