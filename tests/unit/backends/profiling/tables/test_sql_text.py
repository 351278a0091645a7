"""What is sent to databases that no test can start: it is parsed, reads each column once, and is exact."""

from __future__ import annotations

import pytest
import sqlglot
from sqlglot import exp

from airflow_mlops.backends.profiling.tables.sql import dialect_of, field_of
from airflow_mlops.backends.profiling.tables.sql_text import DIALECTS, profile_text, sample_text
from airflow_mlops.core.data.profile.column import Column, Kind
from airflow_mlops.core.errors import InvalidDataError

ibis = pytest.importorskip("ibis")

SCHEMA = {
    "price": "float64",
    "seats": "int32",
    "paid": "decimal(12, 2)",
    "country": "string",
    "late": "boolean",
    "at": "timestamp('UTC')",
    "local": "timestamp",
    "day": "date",
    "bytes": "binary",
    "tags": "array<string>",
    "extra": "json",
    "id": "uuid",
}
KINDS = ["number", "integer", "number", "string", "boolean", "datetime", "datetime", "datetime"]
KINDS += ["unsupported", "unsupported", "unsupported", "string"]
NASTY = ["it's", 'a "b"', "\\", "\\' OR 1=1 --", "new\nline", "é🤦", "", "`x`"]


def columns():
    found = []
    for (name, _), kind in zip(SCHEMA.items(), map(Kind, KINDS), strict=True):
        cells = {"edges": (-1.5, 0.1, 1e300)} if kind.is_numeric else {}
        cells |= {"categories": dict.fromkeys(NASTY, 0)} if kind is Kind.STRING else {}
        found.append(Column(name=name, kind=kind, arrow_type="", **cells))
    return found


def relation(name):
    if name == "pyspark":  # compiles with a running session only
        return r"SELECT * FROM flights WHERE country IN ('o\'k')"
    table = ibis.table(SCHEMA, name="flights")
    return ibis.to_sql(table.filter(table.country.isin(["o'k"])), dialect=name)


def parse(text, name):
    dialect = DIALECTS[name].name
    options = {"read": dialect, "write": dialect, "unsupported_level": sqlglot.ErrorLevel.RAISE}
    (again,) = sqlglot.transpile(text, **options)
    return sqlglot.parse_one(again, dialect=dialect)


def test_kinds_follow_the_types_of_the_table():
    fields = [field_of(name, kind) for name, kind in ibis.schema(SCHEMA).items()]
    assert [str(field.type) for field in fields] == [
        "double",
        "int32",
        "decimal128(12, 2)",
        "string",
        "bool",
        "timestamp[us, tz=UTC]",
        "timestamp[us]",
        "date32[day]",
        "binary",
        "binary",
        "binary",
        "string",
    ]


@pytest.mark.parametrize("name", DIALECTS)
def test_statement_is_understood_and_reads_each_column_once(name):
    tree = parse(profile_text(relation(name), columns(), dialect_of(name)), name)
    assert [table.name for table in tree.find_all(exp.Table) if table.name == "flights"] == ["flights"] * 12
    assert len(tree.named_selects) == 9


@pytest.mark.parametrize("name", DIALECTS)
def test_values_of_the_data_stay_literals(name):
    tree = parse(profile_text(relation(name), columns(), dialect_of(name)), name)
    texts = {literal.this for literal in tree.find_all(exp.Literal) if literal.is_string}
    assert texts >= {*NASTY, "o'k"}


@pytest.mark.parametrize("name", DIALECTS)
def test_borders_are_exact_floats(name):
    text = profile_text(relation(name), columns(), dialect_of(name))
    borders = {
        float(cast.this.this)
        for cast in parse(text, name).find_all(exp.Cast)
        if isinstance(cast.this, exp.Literal) and cast.to.is_type(exp.DType.DOUBLE)
    }
    assert borders >= {-1.5, 0.1, 1e300}


@pytest.mark.parametrize("name", DIALECTS)
def test_sample_is_bounded(name):
    tree = parse(sample_text(relation(name), columns(), 100, dialect_of(name)), name)
    assert tree.args["limit"].expression.this == "100"
    assert tree.named_selects == [f"c{i}" for i in range(12)]


@pytest.mark.parametrize(
    ("name", "number", "wanted"),
    [
        ("bigquery", 5, "CAST(UNIX_MICROS(CAST(`at` AS TIMESTAMP)) AS FLOAT64) / 1e6 AS x"),
        ("bigquery", 3, "CAST(`country` AS STRING) AS x"),
        ("snowflake", 5, "CAST(DATE_PART(EPOCH_MICROSECOND, \"at\") AS DOUBLE) / CAST('1e6' AS DOUBLE) AS x"),
        ("snowflake", 4, "CASE WHEN \"late\" THEN 'true' WHEN NOT \"late\" THEN 'false' END AS x"),
        ("bigquery", 0, "CASE WHEN x < CAST('0.1' AS FLOAT64) THEN CASE WHEN x < CAST('-1.5' AS FLOAT64)"),
        ("snowflake", 0, "WHEN x = CAST('inf' AS DOUBLE) THEN -2 ELSE -3 END"),
        ("postgres", 5, 'CAST(EXTRACT(EPOCH FROM "at") AS DOUBLE PRECISION) AS x'),
    ],
)
def test_spelling_is_the_databases_own(name, number, wanted):
    assert wanted in profile_text("SELECT * FROM flights", [columns()[number]], dialect_of(name))


def test_database_that_is_not_supported_is_named():
    with pytest.raises(
        InvalidDataError, match="'mysql' is not supported, allowed: duckdb, postgres, pyspark"
    ):
        dialect_of("mysql")
