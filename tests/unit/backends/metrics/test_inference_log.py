from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from airflow_mlops.backends.metrics.inference_log import answers, read_inference_log
from airflow_mlops.backends.serving.local.inference_writer import InferenceWriter
from airflow_mlops.core.errors import InvalidDataError


def rows(log_dir, **more):
    return read_inference_log(log_dir, "m", **more).to_pylist()


def test_what_was_written_is_read_and_scores_are_the_last_class(tmp_path):
    with InferenceWriter(tmp_path / "m" / "3", "3") as writer:
        writer.write(
            "a", pd.DataFrame({"x": [1.5, None], "c": ["p", None]}), [[0.9, 0.1], [0.2, 0.8]], status=200
        )
        writer.write("b", pd.DataFrame({"x": [2.0], "c": ["q"]}), None, status=500)
    found = {row["request_id"]: row for row in rows(tmp_path)}
    assert [found[k]["prediction"] for k in ("a", "a/1", "b")] == [0.1, 0.8, None]
    assert [found[k]["status"] for k in ("a", "b")] == [200, 500]
    assert (found["a/1"]["x"], found["a/1"]["c"], found["a"]["version"]) == (None, None, "3")


def test_nothing_logged_is_an_empty_table_not_an_error(tmp_path):
    table = read_inference_log(tmp_path, "m")
    assert (table.num_rows, table.column_names[0]) == (0, "request_id")


def line(request_id, at, prediction):
    row = {"request_id": request_id, "time": at, "version": "1", "status": 200}
    return json.dumps(row | {"inputs": {"x": 1.0}, "prediction": prediction}) + "\n"


@pytest.fixture
def file(tmp_path):
    (tmp_path / "m" / "1").mkdir(parents=True)
    return tmp_path / "m" / "1" / "20130101T00-1.jsonl"


def test_last_answer_to_a_request_holds_and_others_can_be_left_out(tmp_path, file):
    file.write_text(line("a", 1.0, 0.1) + line("a", 2.0, 0.2) + line("a", 3.0, None) + line("b", 4.0, 0.4))
    assert [r["prediction"] for r in rows(tmp_path)] == [0.2, 0.4]
    assert [r["request_id"] for r in rows(tmp_path, request_ids=["b"])] == ["b"]
    assert [r["request_id"] for r in rows(tmp_path, since=3.5)] == ["b"]


def test_line_being_written_is_left_out(tmp_path, file):
    file.write_text(line("a", 1.0, 0.1) + '{"request_id": "b", "ti')
    assert [r["request_id"] for r in rows(tmp_path)] == ["a"]


def test_garbage_is_named_by_file_and_line(tmp_path, file):
    file.write_text(line("a", 1.0, 0.1) + "garbage\n" + line("b", 1.0, 0.1))
    with pytest.raises(InvalidDataError, match=r"20130101T00-1\.jsonl line 2"):
        rows(tmp_path)


def test_scores_of_many_classes_are_kept_and_an_answer_of_another_shape_is_none(tmp_path, file):
    file.write_text(
        line("a", 1.0, [0.1, 0.2, 0.7])
        + line("b", 1.0, None)
        + line("c", 1.0, [0.1, None, 0.9])
        + line("d", 1.0, [0.5, 0.5])
    )
    found = answers(read_inference_log(tmp_path, "m").to_pandas())
    np.testing.assert_array_equal(found[0], [0.1, 0.2, 0.7])
    np.testing.assert_array_equal(np.isnan(found), [[0, 0, 0], [1, 1, 1], [0, 1, 0], [1, 1, 1]])


def test_scores_of_two_classes_are_the_last_ones(tmp_path, file):
    file.write_text(line("a", 1.0, [0.1, 0.9]) + line("b", 1.0, None))
    np.testing.assert_array_equal(answers(read_inference_log(tmp_path, "m").to_pandas()), [0.9, np.nan])
