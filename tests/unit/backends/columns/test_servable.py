from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from mlflow.models.utils import _enforce_schema
from mlflow.utils.proto_json_utils import dataframe_from_parsed_json

from airflow_mlops.backends.columns.servable import alike, fitted, servable
from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.backends.training.mlflow_log import signature

NAN = float("nan")
DTYPES = {("boolean", True): bool, ("long", False): "int64", ("float", True): "float32"}


@pytest.mark.parametrize("sent", [[True, None, False], [1, None, 0], [None, None, None]])
def test_server_hands_a_boolean_to_the_model_as_training_did(sent):
    """A signature of booleans would make false of null, or true."""
    trained = pd.DataFrame(servable(pa.table({"f": pa.array([True, None, False])})))
    schema = signature(trained).inputs
    served = _enforce_schema(dataframe_from_parsed_json([{"f": v} for v in sent], "records", schema), schema)
    wanted = [NAN if v is None else float(v) for v in sent]
    np.testing.assert_array_equal(served["f"], wanted)
    np.testing.assert_array_equal(servable(pd.DataFrame({"f": sent}))["f"], wanted)


def test_frames_that_a_check_changed_are_made_servable_again():
    frame = pd.DataFrame(
        {
            "n": pd.array([1, None], dtype="Int64"),
            "b": pd.array([True, None], dtype="boolean"),
            "d": [Decimal("1.5"), None],
            "t": pd.Categorical(["a", None]),
            "f": [0.5, NAN],
        },
        index=[7, 9],
    )
    found = pd.DataFrame(servable(frame))
    assert found.index.tolist() == [7, 9]
    assert found.dtypes.astype(str).tolist() == ["float64", "float64", "float64", "object", "float64"]
    assert found.loc[7].tolist() == [1.0, 1.0, 1.5, "a", 0.5]


@pytest.mark.parametrize(
    ("column", "declared", "found"),
    [
        ([1.0, NAN, 0.0], "boolean", [True, False, False]),
        ([NAN, NAN], "string", [None, None]),
        ([1.0, NAN], "double", [1.0, NAN]),
        ([None, None], "double", [NAN, NAN]),
        (["a", None], "string", ["a", None]),
        ([1.0], "", [1.0]),
        ([1.0, 2.0], "long", [1, 2]),
        ([1.0, NAN], "long", [1.0, NAN]),
        ([1.5, NAN], "float", [1.5, NAN]),
    ],
)
def test_older_models_get_the_types_that_their_signature_declares(column, declared, found):
    kind = object if column[-1] is None else float
    given = fitted(pd.Series(column, dtype=kind), declared)
    np.testing.assert_array_equal(given, found)
    assert given.dtype == DTYPES.get((declared, NAN in column), given.dtype)


def test_logged_inputs_compare_with_the_profile_of_the_files_they_came_from():
    files = pa.table({"b": [True, False, None], "code": ["1", "2", "2"], "n": [1, 2, 3], "flag": [0, 1, 1]})
    reference = profile_table(files)
    logged = pa.table({"b": [1.0, 0.0, None], "code": [1, 2, 2], "n": [1.0, 2.0, None], "flag": [True] * 3})
    profile = profile_table(alike(logged, reference), bins_from=reference)
    assert [c.kind for c in profile.columns] == ["boolean", "string", "number", "integer"]
    assert profile.by_name["b"].categories == {"false": 1, "true": 1}
    assert profile.by_name["code"].categories == {"1": 1, "2": 2}
    assert alike(pa.table({"new": [1]}), reference).column_names == ["new"]
