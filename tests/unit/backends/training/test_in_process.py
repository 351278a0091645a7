from __future__ import annotations

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from airflow_mlops.backends.training.in_process import fit
from airflow_mlops.backends.training.rows import Rows
from airflow_mlops.core.errors import TrainingError
from airflow_mlops.core.training.job import DatasetSpec


def train(data, params):
    return LogisticRegression().fit(data.drop(columns="y"), data["y"])


@pytest.mark.parametrize("text", [["CH", None], ["CH", "DE"]])
def test_text_that_training_cannot_use_is_named_with_what_to_do(text):
    frame = pd.DataFrame({"country": pd.Series(text, dtype=object), "x": [1.0, 2.0], "y": [0, 1]})
    rows = Rows(frame, ["country", "x"], pd.Series([False, False]))
    with pytest.raises(TrainingError, match=r"; text among the features: country; encode it, or name it in"):
        fit(train, rows, DatasetSpec(target="y"), {})


def test_feature_without_any_value_is_named():
    frame = pd.DataFrame({"empty": [float("nan")] * 2, "x": [1.0, 2.0], "y": [0, 1]})
    rows = Rows(frame, ["empty", "x"], pd.Series([False, False]))
    with pytest.raises(TrainingError, match="; features without any value: empty; name them in"):
        fit(train, rows, DatasetSpec(target="y"), {})


def test_other_failures_stand_alone():
    rows = Rows(pd.DataFrame({"x": [1.0, 2.0], "y": [1, 1]}), ["x"], pd.Series([False, False]))
    with pytest.raises(TrainingError, match=r"train raised ValueError: [^;]*$"):
        fit(train, rows, DatasetSpec(target="y"), {})
