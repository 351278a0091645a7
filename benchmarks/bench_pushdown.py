"""CPU seconds of a profile counted by DuckDB beside the best SQL we could write by hand: 1M x 40 columns.

Both answer the same numbers in known bins from the same parquet file. The SQL by hand is written for
this data: it knows that nothing is missing or infinite and does not look.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import data
import ibis
import numpy as np

from airflow_mlops.backends.profiling.files.arrow import profile_window
from airflow_mlops.backends.profiling.files.dataset import describe_window
from airflow_mlops.backends.profiling.tables.sql import profile_relation

LIMIT = 1.3
TIMES = 5


def least_cpu(function):
    """Return the least of several runs: the machine may be shared."""
    spent = []
    for _ in range(TIMES):
        begin = time.process_time()
        result = function()
        spent.append(time.process_time() - begin)
    return result, min(spent)


def bin_index(edges, low, high):
    if low == high:
        return str(low)
    middle = (low + high) // 2
    below, above = bin_index(edges, low, middle), bin_index(edges, middle + 1, high)
    return f"CASE WHEN x < ({edges[middle]:.17e}) THEN {below} ELSE {above} END"


def by_column(column):
    """One grouped reading of a column gives all its numbers."""
    if column.kind.is_numeric:
        about = f"(x - ({column.origin:.17e}))"
        return f"""SELECT bin_index, count(*), min(x), max(x), sum({about}), sum({about} * {about}) FROM
            (SELECT x, {bin_index(column.edges, 0, len(column.edges))} bin_index FROM
            (SELECT {column.name}::DOUBLE x FROM rows)) GROUP BY bin_index"""
    if column.kind == "boolean":
        return f"SELECT {column.name}, count(*) FROM rows GROUP BY 1"
    names = ", ".join(f"'{name}'" for name in column.categories)
    known = f"x IN ({names}) DESC, " if names else ""
    return f"""WITH g AS (SELECT {column.name} x, count(*) n, length(x) l FROM rows GROUP BY 1)
        SELECT * FROM (SELECT x, n, 0, 0, 0, 0, 0 FROM g ORDER BY {known}n DESC
        LIMIT {len(column.categories) + 65})
        UNION ALL SELECT NULL, sum(n), count(*), min(l), max(l), sum(n * l), sum(n * l * l) FROM g"""


def in_one_scan(columns):
    """One aggregate for all numbers; DuckDB's histogram takes edges that belong to the bin below."""
    parts = []
    for column in columns:
        x, about = f"{column.name}::DOUBLE", f"({column.name} - ({column.origin:.17e}))"
        below = ", ".join(f"({np.nextafter(edge, -np.inf):.17e})" for edge in column.edges)
        parts.append(f"histogram({x}, [{below}]), min({x}), max({x}), sum({about}), sum({about} * {about})")
    return f"SELECT {', '.join(parts)} FROM rows"


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = data.write(Path(folder) / "rows.parquet", 1_000_000)
        connection = ibis.duckdb.connect()
        table = connection.read_parquet(path, table_name="rows")
        begin = time.process_time()
        reference = profile_relation(table)
        own_bins = time.process_time() - begin
        profile, known_bins = least_cpu(lambda: profile_relation(table, bins_from=reference))
        run = connection.con.execute
        columns = profile.columns
        apart = [by_column(column) for column in columns]
        answers, one = least_cpu(lambda: [run(query).fetchall() for query in apart])
        numbers = [column for column in columns if column.kind.is_numeric]
        rest = [by_column(column) for column in columns if not column.kind.is_numeric]
        scan = in_one_scan(numbers)
        _, other = least_cpu(lambda: [run(query).fetchall() for query in (scan, *rest)])
        window = describe_window(str(path))
        _, arrow = least_cpu(lambda: profile_window(window, bins_from=reference))
    for column, answer in zip(columns, answers, strict=True):
        if column.kind.is_numeric:
            assert tuple(n for _, n, *_ in sorted(answer)) == tuple(n for n in column.counts if n)
    print(
        f"{profile.rows:,} rows x {len(columns)} columns in DuckDB, CPU seconds, known bins, best of {TIMES}"
    )
    print(f"{'SQL by hand, column by column':36}{one:8.2f}")
    print(f"{'SQL by hand, numbers in one scan':36}{other:8.2f}")
    print(f"{'profile_relation':36}{known_bins:8.2f}   (own bins, first run: {own_bins:.2f})")
    print(f"{'Arrow engine, for comparison':36}{arrow:8.2f}")
    ratio = known_bins / min(one, other)
    print(f"profile / best SQL by hand: {ratio:.2f}, limit {LIMIT}: {'ok' if ratio <= LIMIT else 'TOO SLOW'}")
    sys.exit(ratio > LIMIT)


if __name__ == "__main__":
    main()
