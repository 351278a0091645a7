from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from airflow_mlops.backends.training.rows import Rows
from airflow_mlops.backends.validation.classes import (
    labels_among,
    labels_of,
    recorded_classes,
    require_known_classes,
)
from airflow_mlops.core.errors import TrainingError
from airflow_mlops.core.training.job import DatasetSpec


@pytest.mark.parametrize(
    ("target", "classes", "places"),
    [
        (["b", "a", "c", None], ("a", "b"), [1, 0, np.nan, np.nan]),
        ([2.0, 1.0, 7.0], ("1", "2"), [1, 0, np.nan]),
        ([1234567, 1234568], ("1234567", "1234568"), [0, 1]),
        ([True, False], ("0", "1"), [1, 0]),
        ([0.5, 2.0], (), [0.5, 2.0]),
        (["yes", "no"], (), [np.nan, np.nan]),
        ([1, 2], ("a", "b"), [np.nan, np.nan]),
        ([Decimal("1.00"), None, Decimal(2)], ("1", "2"), [0, np.nan, 1]),
        ([True, None], (), [1, np.nan]),
        (["0", "1"], (), [0, 1]),
        (pd.Categorical(["b", None]), ("a", "b"), [1, np.nan]),
    ],
)
def test_labels_get_the_places_that_training_gave_them(target, classes, places):
    np.testing.assert_array_equal(labels_among(pd.Series(target), classes), places)


SPEC = DatasetSpec(target="y")


def rows_of(trained, held):
    held_back = pd.Series([False] * len(trained) + [True] * len(held))
    return Rows(pd.DataFrame({"y": [*trained, *held]}), [], held_back)


def model_of(*classes):
    return SimpleNamespace(classes_=np.array(classes)) if classes else object()


@pytest.mark.parametrize(
    ("rows", "model", "is_matrix", "named"),
    [
        (rows_of(["a", "b"], ["a", "z"]), model_of("a", "b"), False, "does not know class z of target 'y'"),
        (rows_of(["a", "b"], ["a", "z"]), model_of(), False, "class z"),
        (rows_of(["a", "b", "c"], ["b", "z"]), model_of("a", "b", "c"), True, "class z"),
        (rows_of(["a", "b", "c"], ["b", "z"]), model_of(0, 1, 2), True, "class z"),
        (rows_of([0, 1, 2], [1, 3, 4]), model_of(0, 1, 2), True, "classes 3, 4"),
        (rows_of([0, 1], [1, 2]), model_of(0, 1), False, "class 2"),
        (rows_of(["a", "b", "c"], ["c"]), model_of("a", "b"), True, "class c"),
        (rows_of([True, True], [False, True]), model_of(True), False, "class 0"),
    ],
)
def test_class_of_held_back_rows_that_the_model_does_not_know_is_named(rows, model, is_matrix, named):
    with pytest.raises(TrainingError, match=named):
        require_known_classes(model, rows, SPEC, is_matrix=is_matrix)


@pytest.mark.parametrize(
    ("rows", "model", "is_matrix"),
    [
        (rows_of(["a", "b", "z"], ["a", "b"]), model_of("a", "b", "z"), False),
        (rows_of(["a", "b"], ["a", "b"]), model_of(0, 1), False),
        (rows_of([0.5, 1.5], [2.5, 3.5]), model_of(), False),
        (rows_of([0, 1, 2], [1, 2.0]), model_of(0.0, 1.0, 2.0), True),
        (rows_of([True, False], [True, False]), model_of(0, 1), False),
    ],
)
def test_known_classes_and_numbers_are_let_pass(rows, model, is_matrix):
    require_known_classes(model, rows, SPEC, is_matrix=is_matrix)
    labels = labels_of(rows, SPEC, is_matrix=is_matrix)
    assert len(labels) == len(rows.frame)
    assert len(recorded_classes(model, rows, SPEC, is_matrix=is_matrix)) in (0, len(np.unique(labels)))
