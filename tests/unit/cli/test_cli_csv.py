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
        (["--dtype", "zip"], "--dtype 'zip': allowed: COLUMN=TYPE; types: text, integer"),
        (["--dtype", "zip=bool"], "--dtype 'zip=bool': allowed: COLUMN=TYPE"),
        (["--dtype", "zip=bool"], "did you mean 'boolean'?"),
        (["--dtype", "zip=float"], "did you mean 'number'?"),
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


@pytest.mark.parametrize(
    ("kind", "value", "allowed"),
    [
        ("datetime", "01.02.2026", "ISO 8601"),
        ("date", "01.02.2026", "ISO 8601"),
        ("boolean", "ja", "true, false"),
    ],
)
def test_value_that_is_not_of_the_stated_type_is_named_with_what_is_allowed(
    tmp_path, monkeypatch, capsys, kind, value, allowed
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text(f"a;when\n1;{value}\n")
    assert main(["profile", "rows.csv", "--dtype", f"when={kind}"]) == 2
    told = capsys.readouterr().err
    assert (
        f"rows.csv: row 2: column 'when' holds '{value}', no {kind}, as stated (dtypes); allowed: {allowed}"
        in told
    )
    assert "unless it is stated" not in told


RANKED = """
name: s
expectations:
- {type: expect_column_to_exist, kwargs: {column: a}, severity: warning}
- {type: expect_column_to_exist, kwargs: {column: b}}
- type: expect_column_values_to_be_in_set
  kwargs: {column: x, value_set: [7]}
"""


def test_each_line_of_a_check_says_how_severe_it_is_and_shares_are_percent(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(RANKED)
    (tmp_path / "rows.csv").write_text("x\n1\n2\n")
    assert main(["check", "rows.csv", "--schema", "s.yaml"]) == 1
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  critical: b: no such column; columns: x",
        "  critical: x: 100 % of values outside the set (1, 2), allowed 0 %",
        "  warning: a: no such column; columns: x",
    ]
