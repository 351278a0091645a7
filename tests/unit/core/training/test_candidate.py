"""Parameters of training as a record holds them."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pytest

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.training.candidate import plain_params


def test_parameters_are_recorded_as_plain_values():
    given = {
        "C": np.float64(0.5),
        "depth": np.int32(3),
        "warm": np.bool_(True),
        "layers": (np.int64(10), 5),
        "weights": {"late": np.float32(2.0)},
        "grid": np.array([[1, 2], [3, 4]]),
        "since": dt.date(2013, 1, 1),
        "odd name, λ": None,
    }
    plain = plain_params(given)
    assert plain == {
        "C": 0.5,
        "depth": 3,
        "warm": True,
        "layers": [10, 5],
        "weights": {"late": 2.0},
        "grid": [[1, 2], [3, 4]],
        "since": "2013-01-01",
        "odd name, λ": None,
    }
    assert json.loads(json.dumps(plain)) == plain


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"loss": len}, r"train\.params\.loss: builtin_function_or_method, allowed: numbers, text"),
        ({"a": {"b": [1, object()]}}, r"train\.params\.a\.b\[1\]: object, allowed"),
        ({3: "x"}, r"train\.params: name 3, allowed: text"),
        ({"a": {" ": 1}}, r"train\.params\.a: name ' ', allowed: text"),
    ],
)
def test_parameter_that_cannot_be_recorded_is_named(params, named):
    with pytest.raises(InvalidConfigError, match=named):
        plain_params(params)
