"""From data to a schema by the command line, and back: what is proposed holds, and what is unsure is said."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops.backends.rules.schema_file import read_schema
from airflow_mlops.cli import main
from airflow_mlops.core.verdict import Severity
from airflow_mlops.demo.flights import write_partition

DOCUMENT = Path(__file__).parents[3] / "docs" / "how-to" / "schema.md"
RANGE, UNIQUE = "expect_column_values_to_be_between", "expect_column_values_to_be_unique"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path, **columns):
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), path)


@pytest.fixture
def months(here):
    """Twelve partitions of a hundred rows, of a key that goes on rising."""
    rng = np.random.default_rng(0)
    for month in range(12):
        ids = np.arange(100 * month, 100 * month + 100)
        write(here / "lake" / f"2026-{month + 1:02}.parquet", id=ids, x=rng.normal(size=100))
    return here


def test_schema_of_many_partitions_holds_for_each_and_for_all_together(months):
    assert main(["schema", "infer", "lake", "-o", "s.yaml"]) == 0
    for month in ("2026-01", "2026-12"):
        assert main(["check", "lake", "--partition", month, "--schema", "s.yaml"]) == 0
    assert main(["check", "lake", "--schema", "s.yaml"]) == 0


def test_schema_of_one_window_passes_a_later_one_of_a_key_that_counts_up(months, capsys):
    assert main(["schema", "infer", "lake", "--partition", "2026-01", "-o", "s.yaml"]) == 0
    told = capsys.readouterr().out
    assert "  unsure: id: a key or a counter: no range of values\n" in told
    assert main(["check", "lake", "--partition", "2026-12", "--schema", "s.yaml"]) == 0
    assert "schema: pass" in capsys.readouterr().out
    twice = pa.concat_tables([pq.read_table("lake/2026-12.parquet")] * 2)
    pq.write_table(twice, "twice.parquet")
    assert main(["check", "twice.parquet", "--schema", "s.yaml"]) == 1


def test_one_year_and_two_years_have_the_same_room(here):
    write(here / "one.parquet", year=[2023] * 100)
    write(here / "two.parquet", year=[2021, 2022] * 50)
    rooms = {}
    for name in ("one", "two"):
        assert main(["schema", "infer", f"{name}.parquet", "-o", f"{name}.yaml"]) == 0
        (rule,) = (r for r in read_schema(f"{name}.yaml").expectations if r.type == RANGE)
        rooms[name] = (rule.kwargs["min_value"], rule.kwargs["max_value"])
    assert rooms == {"one": (2013, 2033), "two": (2011, 2032)}


def test_unsure_lines_stand_in_the_file_and_beside_what_is_printed(months, capsys):
    assert main(["schema", "infer", "lake"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "unsure: id: a key or a counter: no range of values\n"
    assert "notes: ['id: a key or a counter: no range of values']" in printed.out


@pytest.mark.parametrize("partitions", [[], ["--partition", "2026-03"]])
def test_inferred_schema_does_not_differ_from_its_data(months, capsys, partitions):
    rng = np.random.default_rng(1)
    for month in range(12):
        keys = rng.permutation(np.arange(5000)) * 12 + month
        words = rng.choice(["a", "b", "c"], 5000)
        write(months / "large" / f"2026-{month + 1:02}.parquet", key=keys, word=words)
    assert main(["schema", "infer", "large", *partitions, "-o", "s.yaml"]) == 0
    (rule,) = (r for r in read_schema("s.yaml").expectations if r.type == UNIQUE)
    assert rule.severity is Severity.CRITICAL
    capsys.readouterr()
    assert main(["schema", "diff", "s.yaml", "large", *partitions]) == 0
    assert capsys.readouterr().out == "s.yaml -> large: 0 changes\n"


def test_one_change_is_not_told_as_several(here, capsys):
    write(here / "d.parquet", c=["a", "b"] * 100)
    assert main(["schema", "infer", "d.parquet", "-o", "s.yaml"]) == 0
    write(here / "d.parquet", c=["a", "z"] * 100)
    capsys.readouterr()
    assert main(["schema", "diff", "s.yaml", "d.parquet"]) == 1
    assert capsys.readouterr().out.startswith("s.yaml -> d.parquet: 1 change\n  ! ")
    assert main(["schema", "evolve", "s.yaml", "d.parquet", "--accept-all"]) == 0
    assert "s.yaml: 1 of 1 change accepted\n" in capsys.readouterr().out


def test_file_that_is_replaced_is_kept_beside_it_and_that_is_said(months, capsys):
    (months / "s.yaml").write_text("# by hand\n")
    assert main(["schema", "infer", "lake", "-o", "s.yaml"]) == 0
    assert "(the file that was there is now s.yaml.bak)" in capsys.readouterr().out
    assert (months / "s.yaml.bak").read_text() == "# by hand\n"
    assert main(["schema", "infer", "lake", "-o", "s.yaml"]) == 0
    assert ".bak" not in capsys.readouterr().out
    assert (months / "s.yaml.bak").read_text() == "# by hand\n"


def test_label_that_is_no_column_is_refused_by_name(months, capsys):
    assert main(["schema", "infer", "lake", "--label", "y", "-o", "s.yaml"]) == 2
    assert "error: label 'y': no such column; columns: id, x" in capsys.readouterr().err
    assert not (months / "s.yaml").exists()


def test_timestamps_that_became_dates_fail_and_are_told_by_their_names(here, capsys):
    start = dt.datetime.fromisoformat("2024-01-01T03:00")
    write(here / "d.parquet", at=[start + dt.timedelta(hours=i) for i in range(100)])
    assert main(["schema", "infer", "d.parquet", "-o", "s.yaml"]) == 0
    write(here / "d.parquet", at=[(start + dt.timedelta(hours=i)).date() for i in range(100)])
    capsys.readouterr()
    assert main(["check", "d.parquet", "--schema", "s.yaml"]) == 1
    told = capsys.readouterr().out
    assert "at: date (date32[day]), allowed timestamp\n" in told
    assert "at: date values, allowed 2013-12-31T03:00:00 to 2034-01-05T06:00:00, which are timestamps" in told


def test_range_that_only_the_rows_decide_tells_whether_a_change_is_needed(here, capsys):
    write(here / "d.parquet", x=np.linspace(0, 1, 400))
    assert main(["schema", "infer", "d.parquet", "-o", "s.yaml"]) == 0
    write(here / "d.parquet", x=np.concatenate([np.linspace(0, 1, 300), np.linspace(50, 90, 100)]))
    capsys.readouterr()
    assert main(["schema", "diff", "s.yaml", "d.parquet"]) == 1
    assert f"! {RANGE}:x: max_value" in capsys.readouterr().out


def shown(start):
    """Return the lines that the document prints after a command."""
    blocks = re.findall(r"```console\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)
    (block,) = (b for b in blocks if b.startswith(f"$ {start}"))
    return [line for line in block.split("\n$ ")[0].replace("\\\n", " ").splitlines()[1:] if line]


def test_document_shows_what_is_unsure_as_the_command_prints_it(months, capsys):
    assert main(["schema", "infer", "lake", "--partition", "2026-01", "-o", "s.yaml"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told == shown("airflow-mlops schema infer lake --partition 2026-01 -o s.yaml")


@pytest.mark.slow
def test_document_shows_what_the_commands_print_of_flights(here, capsys):
    keys = ["2013-01", "2013-02", "2013-03"]
    for key in keys:
        write_partition(here / "flights", key)
    partitions = [word for key in keys for word in ("--partition", key)]
    label = ["--name", "flights", "--label", "late", "-o", "flights.schema.yaml"]
    assert main(["schema", "infer", "flights", *partitions, *label]) == 0
    assert capsys.readouterr().out.splitlines() == shown("airflow-mlops schema infer /lake/flights")
    assert main(["schema", "diff", "flights.schema.yaml", "flights", *partitions]) == 0
    (line,) = shown("airflow-mlops schema diff flights.schema.yaml /lake/flights")
    assert capsys.readouterr().out.strip() == line.replace("/lake/flights", "flights")
    text = (here / "flights.schema.yaml").read_text()
    sample = re.search(r"```yaml\nname: flights\nexpectations:\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)[1]
    assert all(f"- {rule}" in text for rule in sample.removeprefix("- ").split("\n- "))
