"""SQL text of the query that profiles a relation: one statement that reads each column once.

Only the relation itself is compiled by ibis. The rest is standard SQL, the same for every database except
for the differences in a :class:`Dialect`. docs/adr/0010-push-down.md says why it is text.
"""

# ruff: noqa: S608 - names and values of the data are quoted by sqlglot, the rest is written here
from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_mlops.core.data.profile.column import Kind
from airflow_mlops.core.data.profile.sketch import HEAVY_HITTERS_KEPT, VALUES_SAMPLED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_mlops.core.data.profile.column import Column

NULL, INFINITE, NAN, NEGATIVE = -1, -2, -3, -4
"""Bin indexes of special values; NEGATIVE is negative infinity."""
ENTRY, TOTALS, SAMPLED = 0, 1, 2
"""Kinds of result rows of a text column: a value with its count, sums over all values, a sampled value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Differences in the SQL of databases.

    :param name: sqlglot's name of it, for quoting.
    :param number: type of a 64-bit float; ``whole`` of a 64-bit integer, ``text`` of any text.
    :param md5: hash of a text ``{x}`` in hexadecimal digits.
    :param seconds: epoch seconds of a date or timestamp ``{x}`` as ``number``, correctly rounded from
        microseconds; naive ones are in UTC. ``nanoseconds``: the same of a finer timestamp.
    """

    name: str
    number: str = "DOUBLE"
    whole: str = "BIGINT"
    text: str = "STRING"
    md5: str = "MD5({x})"
    seconds: str
    nanoseconds: str = ""

    def quote(self, text: str) -> str:
        """Return a text literal."""
        from sqlglot import exp

        return exp.Literal.string(text).sql(self.name)

    def identifier(self, name: str) -> str:
        """Return a quoted column name."""
        from sqlglot import exp

        return exp.to_identifier(name, quoted=True).sql(self.name)

    def literal(self, number: float) -> str:
        """Return a float literal; from text, since a bare one is a decimal in some databases."""
        return f"CAST('{number!r}' AS {self.number})"


DIALECTS = {
    "duckdb": Dialect(
        name="duckdb",
        text="VARCHAR",
        seconds="CAST(epoch_us({x}) AS DOUBLE) / 1e6",
        nanoseconds="CAST(epoch_ns({x}) AS DOUBLE) / 1e9",
    ),
    "postgres": Dialect(
        name="postgres",
        number="DOUBLE PRECISION",
        text="TEXT",
        seconds="CAST(EXTRACT(EPOCH FROM {x}) AS DOUBLE PRECISION)",
    ),
    "pyspark": Dialect(
        name="spark", seconds="CAST(unix_micros(CAST({x} AS TIMESTAMP)) AS DOUBLE) / CAST('1e6' AS DOUBLE)"
    ),
    "bigquery": Dialect(
        name="bigquery",
        number="FLOAT64",
        whole="INT64",
        md5="TO_HEX(MD5({x}))",
        seconds="CAST(UNIX_MICROS(CAST({x} AS TIMESTAMP)) AS FLOAT64) / 1e6",
    ),
    "snowflake": Dialect(
        name="snowflake",
        text="VARCHAR",
        seconds="CAST(DATE_PART(EPOCH_MICROSECOND, {x}) AS DOUBLE) / CAST('1e6' AS DOUBLE)",
    ),
}
"""By ibis's name of the database."""


def value_expression(column: Column, dialect: Dialect) -> str:
    """Return the SQL expression of a column's values: numbers as floats, booleans and texts as text."""
    name = dialect.identifier(column.name)
    if column.kind is Kind.DATETIME:
        fine = dialect.nanoseconds and "[ns" in column.arrow_type
        return (dialect.nanoseconds if fine else dialect.seconds).format(x=name)
    if column.kind is Kind.BOOLEAN:
        return f"CASE WHEN {name} THEN 'true' WHEN NOT {name} THEN 'false' END"
    if column.kind is Kind.UNSUPPORTED:
        return f"CASE WHEN {name} IS NOT NULL THEN 1 END"
    return f"CAST({name} AS {dialect.text if column.kind is Kind.STRING else dialect.number})"


def sample_text(relation: str, columns: Sequence[Column], rows: int, dialect: Dialect) -> str:
    """Return a query for a sample of rows, with columns named ``c0``, ``c1``, ... by position."""
    names = (dialect.identifier(f"c{i}") for i in range(len(columns)))
    values = (f"{value_expression(column, dialect)} AS {n}" for column, n in zip(columns, names, strict=True))
    return f"SELECT {', '.join(values)} FROM ({relation}) AS b LIMIT {rows}"


def distinct_text(relation: str, columns: Mapping[int, Column], most: int, dialect: Dialect) -> str:
    """Return a query for the finite values of numeric columns, at most so many each: position, value."""
    greatest = dialect.literal(sys.float_info.max)
    least = dialect.literal(-sys.float_info.max)
    arms = []
    for i, column in columns.items():
        source = f"(SELECT {value_expression(column, dialect)} AS x FROM ({relation}) AS b) AS s"
        finite = f"x >= {least} AND x <= {greatest}"
        found = f"(SELECT DISTINCT x FROM {source} WHERE {finite} LIMIT {most}) AS t"
        arms.append(f"SELECT {i} AS c, x FROM {found}")
    return " UNION ALL ".join(arms)


def profile_text(relation: str, columns: Sequence[Column], dialect: Dialect) -> str:
    """Return the query that counts columns in their bins.

    Result rows: position of the column, bin index (numbers) or ENTRY/TOTALS/SAMPLED (texts), count, value or
    its hash, number of distinct values, minimum, maximum, sum, sum of squares.
    """
    shared, arms = [], []
    for i, column in enumerate(columns):
        source = f"(SELECT {value_expression(column, dialect)} AS x FROM ({relation}) AS b) AS s"
        if column.kind.is_numeric:
            arms.append(_number_arm(i, column, source, dialect))
        elif column.kind is Kind.UNSUPPORTED:
            arms.append(_null_arm(i, source, dialect))
        else:
            shared.append(f"g{i} AS (SELECT x, COUNT(*) AS n FROM {source} GROUP BY x)")
            arms += [_entry_arm(i, column, dialect), _total_arm(i, dialect)]
            if column.kind is Kind.STRING:
                arms.append(_sample_arm(i, column, dialect))
    return f"{'WITH ' if shared else ''}{', '.join(shared)} {' UNION ALL '.join(arms)}".strip()


def _row(i: int, dialect: Dialect, *, bin_index: str | int, n: str, **more: str) -> str:
    """Return the select list of one part of the UNION; columns that it lacks are null."""
    types = {"value": dialect.text, "d": dialect.whole} | dict.fromkeys(
        ("low", "high", "total", "squares"), dialect.number
    )
    rest = (f"{more.get(name, f'CAST(NULL AS {kind})')} AS {name}" for name, kind in types.items())
    return f"SELECT {i} AS c, {bin_index} AS bin_index, CAST({n} AS {dialect.whole}) AS n, {', '.join(rest)}"


def _number_arm(i: int, column: Column, source: str, dialect: Dialect) -> str:
    about = f"(x - {dialect.literal(column.origin)})"
    row = _row(
        i,
        dialect,
        bin_index="bin_index",
        n="COUNT(*)",
        low="MIN(x)",
        high="MAX(x)",
        total=f"SUM({about})",
        squares=f"SUM({about} * {about})",
    )
    bin_index = _bin_search(column.edges, 0, len(column.edges), dialect)
    return f"{row} FROM (SELECT x, {bin_index} AS bin_index FROM {source}) AS t GROUP BY bin_index"


def _bin_search(edges: Sequence[float], low: int, high: int, dialect: Dialect) -> str:
    """Return the binary search for a value's bin: log2(bins) comparisons per value."""
    if low < high:
        middle = (low + high) // 2
        below, above = _bin_search(edges, low, middle, dialect), _bin_search(edges, middle + 1, high, dialect)
        return f"CASE WHEN x < {dialect.literal(edges[middle])} THEN {below} ELSE {above} END"
    return _outer_bin(low, is_first=low == 0, is_last=low == len(edges), dialect=dialect)


def _outer_bin(bin_index: int, *, is_first: bool, is_last: bool, dialect: Dialect) -> str:
    """Return the index of a bin, and of special values in the first and last one.

    NULL and NaN reach the last bin, wherever the database orders NaN: no comparison before holds for them.
    """
    greatest = sys.float_info.max
    text = str(bin_index)
    if is_first:
        text = f"CASE WHEN x < {dialect.literal(-greatest)} THEN {NEGATIVE} ELSE {bin_index} END"
    if is_last:
        infinite = f"WHEN x = {dialect.literal(float('inf'))} THEN {INFINITE}"
        text = (
            f"CASE WHEN x <= {dialect.literal(greatest)} THEN {text} "
            f"WHEN x IS NULL THEN {NULL} {infinite} ELSE {NAN} END"
        )
    return text


def _null_arm(i: int, source: str, dialect: Dialect) -> str:
    return f"{_row(i, dialect, bin_index=TOTALS, n='COUNT(*)', d='COUNT(x)')} FROM {source}"


def _entry_arm(i: int, column: Column, dialect: Dialect) -> str:
    """Return the rows of nulls, of categories with a bin, and of the most frequent other values."""
    names = _names(column, dialect)
    known = f"WHEN x IN ({', '.join(names)}) THEN 1 " if names else ""
    order = f"CASE WHEN x IS NULL THEN 0 {known}ELSE 2 END"
    wanted = 1 + len(names) + HEAVY_HITTERS_KEPT + 1
    top = f"(SELECT x, n FROM g{i} ORDER BY {order}, n DESC, x LIMIT {wanted}) AS t"
    return f"{_row(i, dialect, bin_index=ENTRY, n='n', value='x')} FROM {top}"


def _sample_arm(i: int, column: Column, dialect: Dialect) -> str:
    """Return the hashes and counts of the values without a bin that are sampled."""
    names = _names(column, dialect)
    others = f" AND x NOT IN ({', '.join(names)})" if names else ""
    digest = f"SUBSTR({dialect.md5.format(x='x')}, 1, 16)"
    values = f"SELECT {digest} AS h, n FROM g{i} WHERE x IS NOT NULL{others}"
    first = f"(SELECT h, n FROM ({values}) AS v ORDER BY h LIMIT {VALUES_SAMPLED}) AS t"
    return f"{_row(i, dialect, bin_index=SAMPLED, n='n', value='h')} FROM {first}"


def _names(column: Column, dialect: Dialect) -> list[str]:
    """Return the categories with a bin as literals."""
    names = [name for name in column.categories or () if dialect.name != "postgres" or "\0" not in name]
    return [dialect.quote(name) for name in names]


def _total_arm(i: int, dialect: Dialect) -> str:
    row = _row(
        i,
        dialect,
        bin_index=TOTALS,
        n="SUM(n)",
        d="COUNT(x)",
        low="MIN(l)",
        high="MAX(l)",
        total="SUM(n * l)",
        squares="SUM(n * l * l)",
    )
    length = f"CAST(LENGTH(x) AS {dialect.number})"
    return f"{row} FROM (SELECT x, n, {length} AS l FROM g{i}) AS t"
