from __future__ import annotations

import json
import os

import numpy as np
import pandas as pd
import pytest

from airflow_mlops.backends.metrics.inference_log import answers, read_inference_log
from airflow_mlops.backends.serving.local import inference_writer
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
    assert (found["a/1"]["inputs"], found["a"]["version"]) == ({"x": None, "c": None}, "3")


def test_nothing_logged_is_an_empty_table_not_an_error(tmp_path):
    log = read_inference_log(tmp_path, "m")
    assert (log.answers.num_rows, log.answers.column_names[0], log.to_pylist()) == (0, "request_id", [])


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
    assert [r["request_id"] for r in rows(tmp_path, since=1.0, until=3.5)] == ["a"]


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
    found = answers(read_inference_log(tmp_path, "m").of_version("1"))
    np.testing.assert_array_equal(found[0], [0.1, 0.2, 0.7])
    np.testing.assert_array_equal(np.isnan(found), [[0, 0, 0], [1, 1, 1], [0, 1, 0], [1, 1, 1]])


def test_scores_of_two_classes_are_the_last_ones(tmp_path, file):
    file.write_text(line("a", 1.0, [0.1, 0.9]) + line("b", 1.0, None))
    np.testing.assert_array_equal(answers(read_inference_log(tmp_path, "m").of_version("1")), [0.9, np.nan])


class Unprintable:
    def __str__(self):
        raise RuntimeError("no")


def test_writer_outlives_what_it_cannot_log_and_counts_it(tmp_path):
    with InferenceWriter(tmp_path / "m" / "1", "1") as writer:
        writer.write("a", [{"x": Unprintable()}, {"x": 1}], [0.5, 0.5], status=200)
        writer.write("b", pd.DataFrame({"x": [1.0, 2.0]}), [1, 2, 3], status=200)
        writer.write("c", {"x": np.array([1.0])}, [np.float32(0.5)], status=200)
    log = read_inference_log(tmp_path, "m")
    found = {row["request_id"]: row["prediction"] for row in log.to_pylist()}
    assert found == {"b": None, "b/1": None, "c": 0.5}
    assert (log.lost, log.remarks()) == (
        2,
        ["2 answered rows could not be logged; the model server's log says why"],
    )


def test_rows_wait_for_a_disk_that_does_not_take_them(tmp_path, monkeypatch):
    full = [OSError(28, "No space left on device")]

    def write(file, data, *, real=os.write):
        if full:
            real(file, bytes(data)[:10])
            raise full.pop()
        return real(file, data)

    monkeypatch.setattr(inference_writer.os, "write", write)
    writer = InferenceWriter(tmp_path / "m" / "1", "1")
    for name in ("a", "b"):
        writer.write(name, pd.DataFrame({"x": [1.0]}), [0.5], status=200)
        writer.flush()
    assert [row["request_id"] for row in rows(tmp_path)] == ["a", "b"]


def test_inputs_may_have_any_name_and_any_type_and_come_and_go(tmp_path, file):
    names = ("request_id", "time", "version", "status", "prediction", "scores", "inputs", "self")

    def one(name, **inputs):
        row = {"request_id": name, "time": 1.0, "version": "1", "status": 200, "prediction": 0.5}
        return json.dumps(row | {"inputs": inputs}) + "\n"

    values = ({"x": 1}, {"x": 2.5, "late": True}, {"x": True, "late": "no"})
    file.write_text(
        "".join(one(str(i), **dict.fromkeys(names, "a"), **more) for i, more in enumerate(values))
    )
    log = read_inference_log(tmp_path, "m")
    assert log.answers.to_pylist()[0] == {
        "request_id": "0",
        "time": 1.0,
        "version": "1",
        "status": 200,
        "prediction": 0.5,
        "scores": None,
    }
    assert log.inputs.column_names == [*names, "x", "late"]
    assert [log.inputs[name].to_pylist() for name in ("version", "x", "late")] == [
        ["a", "a", "a"],
        [1.0, 2.5, 1.0],
        [None, "1", "no"],
    ]


def test_repeated_request_ids_are_counted(tmp_path, file):
    file.write_text(line("a", 1.0, 0.1) + line("a", 2.0, 0.2) + line("b", 2.0, 0.2))
    log = read_inference_log(tmp_path, "m")
    assert log.remarks() == ["1 answers have the request id of another one: the last successful counts"]
    assert len(log.of_version("1")) == 2
    assert log.of_version("2").empty


def test_answer_with_named_parts_is_its_last_one_that_is_no_text(tmp_path, file):
    file.write_text(
        line("a", 1.0, {"p": 0.5, "label": "yes"})
        + line("b", 1.0, {"a": 0.1, "b": 0.2, "c": 0.7})
        + line("c", 1.0, {"label": "yes"})
    )
    found = read_inference_log(tmp_path, "m").to_pylist()
    assert [row["prediction"] for row in found] == [0.5, 0.7, None]
    assert [row["scores"] for row in found] == [None, [0.1, 0.2, 0.7], None]
