"""What people can get wrong at the terminal: exit code 2 and one line that says what, never a traceback."""

from __future__ import annotations

import pyarrow as pa
import pytest
from windows import lay, parquet

from airflow_mlops.cli import main

GOOD = pa.table({"x": [float(i) for i in range(300)], "c": ["a", "b", "c"] * 100})
DAMAGED = {
    "cut_parquet": {"a.parquet": parquet(GOOD)[:-50]},
    "junk_in_parquet": {"a.parquet": b"PAR1" + bytes(5000) + b"PAR1"},
    "cut_csv": {"a.csv": b"x,c\n1,a\n2,"},
    "quote_never_closed": {"a.csv": b'x,c\n1,"a\n2,b\n'},
    "not_utf_8": {"a.csv": "x,c\n1,é\n".encode("latin-1")},
    "two_formats": {"a.csv": b"x,c\n1,a\n", "b.parquet": GOOD},
    "no_rows": {"a.parquet": GOOD.slice(0, 0)},
    "no_files": {"readme.txt": b"none"},
    "types_that_differ": {"a.parquet": GOOD, "b.parquet": pa.table({"x": ["text"]})},
    "column_twice": {"a.csv": b"x,x\n1,2\n"},
}
COMMANDS = {
    "profile": ["profile", "bad"],
    "infer": ["schema", "infer", "bad"],
    "check": ["check", "bad", "--schema", "s.yaml"],
    "skew": ["skew", "good", "bad"],
    "skew_reference": ["skew", "bad", "good"],
}


@pytest.fixture
def lake(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lay(tmp_path, {"good/2013-01.parquet": GOOD})
    assert main(["schema", "infer", "good", "-o", "s.yaml", "--name", "flights"]) == 0
    return tmp_path


def ends_with_a_named_error(capsys, *argv):
    capsys.readouterr()
    code, told = main(argv), capsys.readouterr()
    lines = told.err.strip().splitlines()
    return code == 2 and told.out == "" and len(lines) == 1 and lines[0].startswith("error: ")


@pytest.mark.parametrize("files", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("argv", COMMANDS.values(), ids=COMMANDS)
def test_data_that_cannot_be_used_ends_with_code_2(lake, capsys, argv, files):
    (lake / "bad").mkdir()
    lay(lake / "bad", files)
    assert ends_with_a_named_error(capsys, *argv)


@pytest.mark.parametrize(
    "argv",
    [
        ["profile", "nowhere"],
        ["profile", "ftp://host/x"],
        ["profile", ""],
        ["profile", "good", "--partition", "../good"],
        ["profile", "good", "--partition", "2014-01"],
        ["profile", "good", "-o", "nowhere/p.json"],
        ["schema", "infer", "good", "-o", "good"],
        ["check", "good", "--schema", "good"],
    ],
)
def test_place_that_cannot_be_read_or_written_ends_with_code_2(lake, capsys, argv):
    assert ends_with_a_named_error(capsys, *argv)


RULE = "name: s\nexpectations:\n- type: {}\n  kwargs: {}\n"
SCHEMAS = {
    "no_yaml": "name: [",
    "no_mapping": "- 1",
    "nothing": "",
    "unknown_key": "name: s\nexpectation: []",
    "no_rules": "name: s\nexpectations: []",
    "unknown_rule": RULE.format("expect_column_to_be_nice", "{column: x}"),
    "misspelt_argument": RULE.format("expect_column_values_to_not_be_null", "{colum: x}"),
    "argument_of_another_type": RULE.format(
        "expect_column_values_to_be_between", "{column: x, min_value: low}"
    ),
    "share_above_one": RULE.format("expect_column_values_to_not_be_null", "{column: x, mostly: 7}"),
    "share_that_is_text": RULE.format("expect_column_values_to_not_be_null", "{column: x, mostly: most}"),
    "no_column": RULE.format("expect_column_to_exist", "{}"),
    "kwargs_that_are_a_list": RULE.format("expect_column_to_exist", "[x]"),
    "value_set_that_is_a_number": RULE.format(
        "expect_column_values_to_be_in_set", "{column: c, value_set: 5}"
    ),
    "argument_missing": RULE.format("expect_column_values_to_be_of_type", "{column: x}"),
    "python_object": "name: !!python/object/apply:os.getcwd []\n"
    + RULE[8:].format("expect_column_to_exist", ""),
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in SCHEMAS.items()])
def test_schema_that_is_not_understood_ends_with_code_2(lake, capsys, text):
    (lake / "s.yaml").write_text(text)
    assert ends_with_a_named_error(capsys, "check", "good", "--schema", "s.yaml")


def test_schema_in_another_encoding_ends_with_code_2(lake, capsys):
    (lake / "s.yaml").write_bytes("name: été\nexpectations: []".encode("latin-1"))
    assert ends_with_a_named_error(capsys, "check", "good", "--schema", "s.yaml")


def test_windows_without_a_common_column_were_not_compared(lake, capsys):
    lay(lake, {"other.parquet": GOOD.rename_columns(["p", "q"])})
    assert main(["skew", "good", "other.parquet"]) == 2


def test_times_beyond_pandas_are_checked_by_the_rows_too(lake, capsys):
    times = pa.array([-62135596800 * 10**6, 253402214400 * 10**6], pa.timestamp("us"))
    dates = pa.array([-(2**31), 2**31 - 1], pa.int32()).cast(pa.date32())
    lay(lake, {"far.parquet": pa.table({"t": times, "d": dates, "c": ["ab", "ac"]})})
    rule = RULE.format("expect_column_values_to_match_regex", "{column: c, regex: '^a'}")
    (lake / "s.yaml").write_text(rule)
    assert main(["check", "far.parquet", "--schema", "s.yaml"]) == 0
