from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops.cli import main


@pytest.fixture
def lake(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = pa.table({"x": [float(i) for i in range(300)], "c": ["a", "b", "c"] * 100})
    for name, table in {"good": good, "renamed": good.rename_columns(["y", "c"])}.items():
        (tmp_path / name).mkdir()
        pq.write_table(table, tmp_path / name / "2013-01.parquet")
    assert main(["schema", "infer", "good", "-o", "s.yaml", "--name", "flights"]) == 0
    return tmp_path


def test_profile_is_shown_written_and_printed_as_json(lake, capsys):
    assert main(["profile", "good", "--partition", "2013-01", "-o", "p.json"]) == 0
    assert "300 rows" in capsys.readouterr().out
    assert json.loads((lake / "p.json").read_text())["rows"] == 300
    assert main(["profile", "good", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["columns"][0]["name"] == "x"


def test_check_passes_fails_and_could_not_be_measured(lake, capsys):
    assert main(["check", "good", "--schema", "s.yaml"]) == 0
    assert main(["check", "renamed", "--schema", "s.yaml"]) == 1
    assert "x: no such column; columns: y, c" in capsys.readouterr().out
    assert main(["check", "nowhere", "--schema", "s.yaml"]) == 2
    assert main(["check", "good", "--schema", "none.yaml"]) == 2
    assert "none.yaml: No such file" in capsys.readouterr().err


def test_check_prints_its_verdict_as_json(lake, capsys):
    capsys.readouterr()
    assert main(["check", "renamed", "--schema", "s.yaml", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["outcome"] == "fail"


def test_skew_of_data_with_itself_passes_and_moved_data_fails(lake, capsys):
    moved = pa.table({"x": [float(i + 150) for i in range(300)], "c": ["a", "b", "c"] * 100})
    pq.write_table(moved, lake / "moved.parquet")
    assert main(["skew", "good", "good"]) == 0
    assert main(["skew", "good", "moved.parquet"]) == 1
    assert "x: ks moved by 0.5" in capsys.readouterr().out


def test_schema_is_printed_when_no_file_is_given(lake, capsys):
    capsys.readouterr()
    assert main(["schema", "infer", "good"]) == 0
    assert capsys.readouterr().out.startswith("name: schema\nexpectations:\n")
