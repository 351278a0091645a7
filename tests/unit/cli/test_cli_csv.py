"""The dialect of csv files at the terminal: stated once, used by whatever the command reads."""

from __future__ import annotations

import json

import pytest

from airflow_mlops.cli import main
from airflow_mlops.core.data.window import Window

SCHEMA = """
name: s
expectations:
- type: expect_column_values_to_match_regex
  kwargs: {column: zip, regex: '^[0-9]{5}$'}
- type: expect_column_values_to_not_be_null
  kwargs: {column: name}
"""
STATED = [
    "--delimiter",
    ":",
    "--decimal",
    ",",
    "--na-value",
    "-",
    "--dtype",
    "zip=text",
    "--no-final-newline",
]


@pytest.fixture
def lake(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(SCHEMA)
    rows = "".join(f"{90000 + i}:NA:{i},5\n" for i in range(300))
    (tmp_path / "rows.csv").write_text(f"zip:name:x\n{rows}00123:NA:1,5")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        ["check", "rows.csv", "--schema", "s.yaml"],  # the regex is answered by rows read again
        ["skew", "rows.csv", "rows.csv", "--multivariate"],
        ["schema", "infer", "rows.csv"],
        ["schema", "diff", "s.yaml", "rows.csv"],
        ["profile", "rows.csv"],
    ],
    ids=lambda command: command[0] + command[1],
)
def test_stated_dialect_is_that_of_all_that_the_command_reads(lake, capsys, command):
    assert main([*command, *STATED]) in (0, int("diff" in command))
    assert "delimiter ':'" in "".join(capsys.readouterr())
    assert main(command) == 2


def test_notes_are_part_of_the_stored_profile(lake, capsys):
    assert main(["profile", "rows.csv", *STATED, "-o", "p.json"]) == 0
    stored = json.loads((lake / "p.json").read_text())
    assert stored["notes"] == [
        "csv: delimiter ':', decimal ',', quote '\"', utf-8 (quote, encoding found, not stated)"
    ]


@pytest.mark.parametrize(
    ("option", "named"),
    [
        (["--dtype", "zip"], "csv.dtype"),
        (["--dtype", "zip=txt"], "did you mean 'text'"),
        (["--delimiter", "::"], "csv.delimiter: '::'"),
        (["--encoding", "utf-9"], "csv.encoding: 'utf-9'"),
    ],
)
def test_option_that_is_not_understood_is_named(lake, capsys, option, named):
    assert main(["profile", "rows.csv", *option]) == 2
    assert named in capsys.readouterr().err


def test_options_precede_those_of_the_uri():
    from airflow_mlops.cli import _parser
    from airflow_mlops.cli.csv_options import window_of

    options = _parser().parse_args(["profile", "lake#delimiter=%3B&version=3", "--delimiter", "tab"])
    assert window_of(options, options.uri, ["a"]) == Window(
        uri="lake#delimiter=%09&version=3", partitions=("a",)
    )
