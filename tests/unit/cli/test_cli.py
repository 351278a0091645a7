from __future__ import annotations

import datetime as dt
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


def test_profile_shows_dates_infinities_and_one_row_as_people_read_them(tmp_path, capsys):
    moments = [dt.datetime(2013, 1, 1), dt.datetime(2013, 1, 31, 6)]  # noqa: DTZ001 - naive ones
    table = pa.table({"at": moments, "x": [1.0, float("inf")], "n": [1, 2_000_000], "word": ["a", "abc"]})
    pq.write_table(table, tmp_path / "t.parquet")
    pq.write_table(table.slice(0, 1), tmp_path / "one.parquet")
    assert main(["profile", str(tmp_path / "t.parquet")]) == 0
    lines = capsys.readouterr().out.splitlines()
    said = {line.split()[0]: line for line in lines[1:]}
    assert said["at"].endswith("2013-01-01 to 2013-01-31 06:00:00")
    assert said["x"].endswith("1 to 1, 1 infinite")
    assert said["n"].endswith("1 to 2000000")
    assert said["word"].endswith("1 to 3 characters")
    assert main(["profile", str(tmp_path / "one.parquet")]) == 0
    assert capsys.readouterr().out.startswith("1 row\n")


def test_profile_says_which_numbers_of_distinct_values_are_estimates(tmp_path, capsys):
    table = pa.table({"few": [i % 500 for i in range(5000)], "many": range(5000)})
    pq.write_table(table, tmp_path / "t.parquet")
    assert main(["profile", str(tmp_path / "t.parquet")]) == 0
    few, many = capsys.readouterr().out.splitlines()[1:]
    assert " 500 distinct" in few
    assert "about" not in few
    assert " about " in many


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


def test_schema_is_printed_as_json_that_reads_as_a_schema(lake, capsys):
    capsys.readouterr()
    assert main(["schema", "infer", "good", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "schema"


def test_estimated_uniqueness_is_confirmed_on_the_rows_or_left_out(lake):
    keys = list(range(0, 35_000, 7))
    for name, values in {"keys": keys, "twice": [*keys[:-1], keys[0]]}.items():
        pq.write_table(pa.table({"k": values}), lake / f"{name}.parquet")
        assert main(["schema", "infer", f"{name}.parquet", "-o", f"{name}.yaml"]) == 0
    assert "all 5000 values differ in the reference" in (lake / "keys.yaml").read_text()
    assert "to_be_unique" not in (lake / "twice.yaml").read_text()


def test_diff_says_same_different_or_not_measured(lake, capsys):
    assert main(["schema", "diff", "s.yaml", "s.yaml"]) == 0
    assert main(["schema", "diff", "s.yaml", "good"]) == 0
    assert main(["schema", "diff", "s.yaml", "renamed"]) == 1
    told = capsys.readouterr().out
    assert "expect_column_to_exist:x: removed" in told
    assert "expect_column_to_exist:y: added" in told
    assert main(["schema", "diff", "s.yaml", "nowhere"]) == 2
    assert main(["schema", "diff", "none.yaml", "good"]) == 2
    capsys.readouterr()
    assert main(["schema", "diff", "s.yaml", "renamed", "--json"]) == 1
    assert {c["kind"] for c in json.loads(capsys.readouterr().out)["changes"]} == {
        "added",
        "changed",
        "removed",
    }


def test_evolve_accepts_one_several_needed_or_all_changes(lake, capsys):
    moved = pa.table({"x": [float(i + 9000) for i in range(300)], "c": ["a", "b", "z"] * 100})
    pq.write_table(moved, lake / "moved.parquet")
    domain = "expect_column_values_to_be_in_set:c"
    (lake / "s.yaml").write_text("# by hand\n" + (lake / "s.yaml").read_text())
    assert main(["schema", "evolve", "s.yaml", "moved.parquet", "--accept", domain, "-o", "one.yaml"]) == 0
    assert main(["schema", "diff", "s.yaml", "one.yaml"]) == 1
    assert "[a, b, z]" in (lake / "one.yaml").read_text()
    assert (lake / "one.yaml").read_text().startswith("# by hand\n")
    assert main(["schema", "evolve", "s.yaml", "moved.parquet", "--accept-needed", "-o", "needed.yaml"]) == 0
    assert main(["check", "moved.parquet", "--schema", "needed.yaml"]) == 0
    assert main(["schema", "evolve", "s.yaml", "moved.parquet", "--accept-all"]) == 0
    assert main(["schema", "diff", "s.yaml", "moved.parquet"]) == 0
    capsys.readouterr()
    assert main(["schema", "evolve", "s.yaml", "moved.parquet", "--accept", "colour:c"]) == 2
    assert "no change 'colour:c'" in capsys.readouterr().err


def test_typo_in_schema_or_environment_is_told_before_data_is_read(lake, capsys):
    text = (lake / "s.yaml").read_text()
    (lake / "typo.yaml").write_text(text.replace("expect_column_to_exist", "expect_column_to_exits", 1))
    assert main(["check", "nowhere", "--schema", "typo.yaml"]) == 2
    assert "did you mean 'expect_column_to_exist'" in capsys.readouterr().err
    assert main(["check", "nowhere", "--schema", "s.yaml", "--environment", "servng"]) == 2
    assert "environment 'servng'; one of: training, serving" in capsys.readouterr().err


def test_label_may_be_absent_in_serving(lake):
    assert main(["schema", "infer", "good", "-o", "label.yaml", "--label", "c"]) == 0
    pq.write_table(pa.table({"x": [float(i) for i in range(300)]}), lake / "served.parquet")
    assert main(["check", "served.parquet", "--schema", "label.yaml"]) == 1
    assert main(["check", "served.parquet", "--schema", "label.yaml", "--environment", "serving"]) == 0
