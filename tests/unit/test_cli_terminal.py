from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops.backends.profiling.files.arrow import profile_window
from airflow_mlops.backends.profiling.files.dataset import describe_window
from airflow_mlops.cli import main, terminal


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def lake(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table({"x": np.arange(100_000.0), "c": ["a"] * 100_000}), "rows.parquet")
    return tmp_path


def test_long_reading_is_shown_on_a_terminal_and_nowhere_else(lake, monkeypatch):
    for screen, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr("sys.stderr", screen)
        monkeypatch.setattr(terminal, "_LONG_ROWS", 1)
        assert main(["profile", "rows.parquet"]) == 0
        assert ("100,000 rows" in screen.getvalue()) is shown


def test_all_rows_are_told_to_whoever_watches(lake):
    told = []
    profile_window(describe_window("rows.parquet"), on_rows=told.append)
    assert sum(told) == pytest.approx(100_000)


def test_table_of_a_database_is_profiled_by_its_uri(lake, capsys):
    import duckdb

    with duckdb.connect("shop.duckdb") as shop:
        shop.sql("CREATE TABLE sales AS SELECT * FROM 'rows.parquet'")
    assert main(["profile", f"duckdb://{lake}/shop.duckdb#table=sales"]) == 0
    assert "100000 rows" in capsys.readouterr().out
