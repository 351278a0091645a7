from __future__ import annotations

from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest

from airflow_mlops.backends.metrics.request_labels import RequestLabels


def labels(ids, values=(0, 1, 1, 0)):
    return RequestLabels.of(pa.table({"id": ids, "y": pa.array(values)}), "id", "y")


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([7, 8, 9, None]),
        pa.array([7.0, 8.0, 9.0, None]),
        pa.array([7.0, 8.0, 9.0, float("nan")]),
        pa.array([Decimal("7.00"), Decimal(8), Decimal(9), None]),
        pa.array(["7", "8", "9", None]),
        pa.array(["7", "8", "9", None], pa.string_view()),
        pa.array(["7", "8", "9", None]).dictionary_encode(),
    ],
    ids=["integers", "doubles", "NaN", "decimals", "text", "views", "codes"],
)
def test_request_without_id_is_left_out_and_the_others_are_joined(ids):
    found = labels(ids)
    assert found.ids == {"7", "8", "9"}
    assert found.remarks() == ["1 of 4 rows have no request id and are left out"]
    answered = pd.DataFrame({"request_id": ["9", "7", "x"], "prediction": [0.9, 0.1, 0.5]})
    joined = found.joined(answered)
    assert joined[["request_id", "label"]].to_numpy().tolist() == [["9", "1"], ["7", "0"]]


def test_last_label_of_a_repeated_request_counts_and_it_is_told():
    found = labels(["a", "b", "a", "b"], [0, 1, 1, None])
    assert found.labelled.to_numpy().tolist() == [["b", "1"], ["a", "1"]]
    assert found.remarks() == ["2 of 4 rows repeat a request id: its last label counts"]


def test_labels_that_are_all_missing_join_nothing():
    found = labels(["a", "b", "c", "d"], [None] * 4)
    assert (found.remarks(), len(found.ids), found.labelled.empty) == ([], 4, True)
    assert found.joined(pd.DataFrame({"request_id": ["a"], "prediction": [0.5]})).empty


def test_answers_without_a_label_are_told_apart_and_entities_are_codes_of_their_columns():
    table = pa.table(
        {
            "id": ["a", "b", "c", "d"],
            "y": [1, None, 0, 1],
            "bank": ["x", "x", "x", "y"],
            "branch": [1, 1, 1, 2],
        }
    )
    found = RequestLabels.of(table, "id", "y", ("bank", "branch"))
    answered = pd.DataFrame({"request_id": ["a", "b", "c", "d", "e"], "prediction": 0.5})
    assert found.without(answered)["request_id"].tolist() == ["b", "e"]
    assert found.joined(answered)["entity"].tolist() == [0, 0, 1]
