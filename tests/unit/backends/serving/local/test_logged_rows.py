from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from airflow_mlops.backends.serving.local.logged_rows import input_rows, output_rows, plain

TWO = [{"x": 1.0, "color": "a"}, {"x": 2.0, "color": "b"}]


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame(TWO),
        {"x": [1.0, 2.0], "color": ["a", "b"]},
        {"x": np.array([1.0, 2.0]), "color": np.array(["a", "b"])},
        {"x": pd.Series([1.0, 2.0]), "color": ("a", "b")},
        TWO,
        [{"x": np.float32(1), "color": np.str_("a")}, {"x": Decimal(2), "color": "b"}],
    ],
    ids=["frame", "inputs", "instances", "series", "records", "odd types"],
)
def test_every_form_of_a_request_gives_its_rows(data):
    assert input_rows(data) == TWO


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (np.array([[1, 2], [3, 4]]), [{"input": [1, 2]}, {"input": [3, 4]}]),
        ([5, 6], [{"input": 5}, {"input": 6}]),
        (sparse.csr_matrix([[0, 1]]), [{"input": [0, 1]}]),
        ("hello", [{"input": "hello"}]),
        ({"x": 1.0, "y": [1, 2]}, [{"x": 1.0, "y": 1}, {"x": 1.0, "y": 2}]),
        ({"x": [1], "y": [1, 2]}, [{"x": [1], "y": [1, 2]}]),
        ({"x": 1.0}, [{"x": 1.0}]),
        (pd.DataFrame({1: [None]}), [{"1": None}]),
    ],
    ids=["matrix", "bare", "sparse", "text", "scalar and list", "unequal", "scalars", "odd names"],
)
def test_what_has_no_columns_or_no_rows_is_logged_too(data, rows):
    assert input_rows(data) == rows


@pytest.mark.parametrize(
    ("predictions", "rows", "found"),
    [
        (np.array([0.25, 0.75]), 2, [0.25, 0.75]),
        (np.array([[0.25, 0.75]]), 1, [[0.25, 0.75]]),
        ([np.float32(0.5), np.int64(1)], 2, [0.5, 1]),
        (pd.Series([0.5, None]), 2, [0.5, None]),
        (pd.DataFrame({"label": ["a"], "p": [0.5]}), 1, [{"label": "a", "p": 0.5}]),
        (pd.DataFrame({"at": [pd.Timestamp("2026-01-01")]}), 1, [{"at": "2026-01-01T00:00:00"}]),
        ({"p": [0.5, 0.6]}, 2, [{"p": 0.5}, {"p": 0.6}]),
        ({"p": 0.5}, 1, [{"p": 0.5}]),
        (np.array([0.5]), 2, [0.5, 0.5]),
        (0.5, 1, [0.5]),
        ([0.1, 0.2, 0.7], 1, [[0.1, 0.2, 0.7]]),
        (["yes", "no"], 2, ["yes", "no"]),
        ([float("nan"), float("inf")], 2, [None, None]),
        (None, 2, [None, None]),
        ([1, 2, 3], 2, None),
    ],
)
def test_every_form_of_an_answer_gives_one_for_each_row(predictions, rows, found):
    assert output_rows(predictions, rows) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (pd.NA, None),
        (pd.NaT, None),
        (np.datetime64("NaT"), None),
        (np.datetime64("2026-01-01T00:00:00.000000001", "ns"), "2026-01-01T00:00:00.000000001"),
        (dt.date(2026, 1, 1), "2026-01-01"),
        (np.bool_(True), True),
        (b"x", "b'x'"),
        ({1: {2.5}}, {"1": [2.5]}),
        (2**70, 2**70),
        (1j, "1j"),
    ],
)
def test_every_value_is_one_that_json_has(value, found):
    assert plain(value) == found
