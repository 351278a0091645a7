"""What the page on csv and tables prints is what the commands print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from airflow_mlops.cli import main
from airflow_mlops.dag_factories import CsvConfig

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "csv-and-tables.md").read_text()
SHOWN = [
    tuple(part.split("\n", 1))
    for block in re.findall(r"```console\n(.*?)```", PAGE, flags=re.DOTALL)
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
]
SCHEMA = "name: months\nexpectations:\n- {type: expect_column_to_exist, kwargs: {column: x}}\n"
COMMANDS = [(command, printed) for command, printed in SHOWN if command.startswith("airflow-mlops ")]


@pytest.fixture
def lake(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command, text in SHOWN:
        if command.startswith("cat "):
            (tmp_path / command.removeprefix("cat ")).write_text(text)
    for i, region in enumerate(["CH", "DE"]):
        (tmp_path / "sales" / f"region={region}").mkdir(parents=True)
        (tmp_path / "sales" / f"region={region}" / "a.csv").write_text(f"x\n{i + 1}\n")
    (tmp_path / "months").mkdir()
    for month, rows in {"2026-01": "x\n1\n", "2026-02": "x\n", "2026-03": "x\n2\n"}.items():
        (tmp_path / "months" / f"{month}.csv").write_text(rows)
    (tmp_path / "months.yaml").write_text(SCHEMA)
    for days, km in ((["2013-01-01"] * 3, [1.0, 2.5, 4.0]), (["2013-01-01", "2013-01-02"], [9.0, 9.5])):
        write_deltalake("trips", pa.table({"day": days, "km": km}), partition_by=["day"], mode="overwrite")


@pytest.mark.parametrize(("command", "printed"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_command_prints_what_the_page_shows(lake, capsys, command, printed):
    main(shlex.split(command)[1:])
    told = capsys.readouterr()
    assert (told.err + told.out).rstrip() == printed.rstrip()


def test_every_option_of_csv_is_on_the_page():
    rows = [line for line in PAGE.splitlines() if line.startswith("| `--")]
    named = {name for row in rows for name in re.findall(r"`(\w+)", row.split("|")[2])}
    assert named - {"data"} == set(CsvConfig.__dataclass_fields__)
