"""Folders ``name=value`` give their columns: text in every window, unless a type is stated."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pyarrow.dataset as pads
import pytest
from windows import parquet

from airflow_mlops.backends.profiling.comparison import compare_windows
from airflow_mlops.backends.profiling.files.arrow import profile_files
from airflow_mlops.backends.profiling.files.dataset import read_files, read_window
from airflow_mlops.backends.rules.great_expectations import check_schema
from airflow_mlops.backends.training.rows import read_rows
from airflow_mlops.core.data.expectations.rule import Rule
from airflow_mlops.core.data.schema.infer import infer_schema
from airflow_mlops.core.data.schema.schema import Schema
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.errors import InvalidDataError
from airflow_mlops.core.training.job import DatasetSpec
from airflow_mlops.core.verdict import Outcome

ROWS = pa.table({"x": range(200), "c": ["a", "b"] * 100})


def lake(tmp_path, *folders, table=ROWS, name="a.parquet"):
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        data = table.to_pandas().to_csv(index=False).encode() if name.endswith(".csv") else parquet(table)
        (tmp_path / folder / name).write_bytes(data)
    return str(tmp_path)


LAYOUTS = {
    "numbers": ("k=0", "k=1", "k=2"),
    "leading_zeros": ("k=01", "k=2"),
    "large_numbers": ("k=3000000000",),
    "text": ("k=2013-01", "k=2013-02"),
    "escaped": ("k=a%20b", "k=c"),
    "missing": ("k=1", "k=__HIVE_DEFAULT_PARTITION__"),
    "two_levels": ("k=1/m=x", "k=2/m=y"),
    "between_plain_folders": ("k=1/plain", "k=2/plain"),
    "fraction": ("k=1.5",),
}


def as_arrow_reads(uri, ours, types):
    """Compare the rows with those of Arrow's Hive partitioning, told the types of its columns."""
    folders = pads.partitioning(pa.schema(list(types.items())), flavor="hive")
    theirs = pads.dataset(uri, partitioning=folders).to_table()
    assert ours.schema.remove_metadata() == theirs.schema.remove_metadata()
    assert ours.sort_by([(n, "ascending") for n in ours.column_names]).equals(
        theirs.sort_by([(n, "ascending") for n in theirs.column_names])
    )


@pytest.mark.parametrize("folders", LAYOUTS.values(), ids=LAYOUTS)
def test_columns_of_folders_are_text(tmp_path, folders):
    uri = lake(tmp_path, *folders)
    ours = read_files(uri)[1]
    as_arrow_reads(uri, ours, dict.fromkeys(ours.column_names[2:], pa.string()))


STATED = {
    "integer": (("k=01", "k=2"), pa.int64(), [1, 2]),
    "number": (("k=1.5", "k=2"), pa.float64(), [1.5, 2.0]),
    "boolean": (("k=true", "k=false"), pa.bool_(), [False, True]),
    "date": (("k=2013-01-02", "k=__HIVE_DEFAULT_PARTITION__"), pa.date32(), [dt.date(2013, 1, 2), None]),
    "text": (("k=1", "k=2"), pa.string(), ["1", "2"]),
}


@pytest.mark.parametrize("name", ["a.parquet", "a.csv"])
@pytest.mark.parametrize(("stated", "folders", "kind", "values"), [(s, *v) for s, v in STATED.items()])
def test_columns_of_folders_have_the_stated_type(tmp_path, stated, folders, kind, values, name):
    ours = read_files(f"{lake(tmp_path, *folders, name=name)}#dtype={stated}:k")[1]
    assert ours.schema.field("k").type == kind
    assert list(dict.fromkeys(ours.column("k").to_pylist())) == values
    if name == "a.parquet":
        as_arrow_reads(str(tmp_path), ours, {"k": kind})


def test_type_is_the_same_in_every_window_and_keeps_leading_zeros(tmp_path):
    uri = lake(tmp_path, "day=1/store=02", "day=2/store=2", "day=3/store=AB", "day=3/store=2")
    held = [read_files(uri, keys)[1].column("store") for keys in ([], ["1"], ["2"], ["3"])]
    assert {column.type for column in held} == {pa.string()}
    assert held[1].unique().to_pylist() == ["02"]


def test_folder_that_is_none_of_the_stated_type_is_named(tmp_path):
    uri = lake(tmp_path, "store=1", "store=AB")
    with pytest.raises(InvalidDataError, match="folder 'store=AB' is no int64, as stated"):
        read_files(f"{uri}#dtype=integer:store")


@pytest.mark.parametrize("name", ["a.parquet", "a.csv"])
def test_stated_type_of_no_column_is_refused(tmp_path, name):
    with pytest.raises(InvalidDataError, match="dtypes: no column 'stor'; columns: x, c, store"):
        read_files(f"{lake(tmp_path, 'store=1', name=name)}#dtype=text:stor")


def test_stated_type_that_parquet_files_contradict_is_refused(tmp_path):
    uri = lake(tmp_path, "store=1")
    assert read_files(f"{uri}#dtype=integer:x")[1].column("x").type == pa.int64()
    with pytest.raises(InvalidDataError, match="column 'x' is int64 in its files, not text"):
        read_files(f"{uri}#dtype=text:x")


@pytest.mark.parametrize("name", ["a.parquet", "a.csv"])
def test_profile_has_the_columns_of_folders(tmp_path, name):
    profile = profile_files(lake(tmp_path, "k=0/m=x", "k=1/m=y", name=name))[1]
    assert profile.column("k").named == {"0": 200, "1": 200}
    assert profile.column("m").named == {"x": 200, "y": 200}
    assert (profile.partition_column, profile.notes[-1]) == (
        "k",
        "columns of folders: k, m; text unless stated (dtypes)",
    )


def test_rule_on_a_column_of_folders_is_judged(tmp_path):
    window = Window(uri=f"{lake(tmp_path, 'k=0', 'k=1', 'k=2')}#dtype=integer:k")
    rules = [("expect_column_to_exist", {}), ("expect_column_values_to_be_between", {"max_value": 1})]
    schema = Schema(
        name="s", expectations=tuple(Rule(type=t, kwargs={"column": "k", **more}) for t, more in rules)
    )
    found = check_schema(schema, profile_files(window.uri)[1], window, "training").findings
    assert [f.outcome for f in found] == [Outcome.PASS, Outcome.FAIL]


def test_column_in_the_files_precedes_that_of_their_folders(tmp_path):
    uri = lake(tmp_path, "x=7")
    assert read_files(uri)[1].column("x").to_pylist() == list(range(200))


def test_folder_above_the_dataset_is_no_column(tmp_path):
    uri = lake(tmp_path, "k=1/m=x")
    assert read_files(f"{uri}/k=1")[1].column_names == ["x", "c", "m"]


def test_column_that_names_the_window_is_not_skewed_between_windows(tmp_path):
    uri = lake(tmp_path, "k=1", "k=2")
    one, other = (Window(uri=uri, partitions=(key,)) for key in "12")
    report = compare_windows(one, other, multivariate=True)
    assert report.verdict.outcome is Outcome.PASS
    assert "k" not in {test.column for test in report.tests}


def test_schema_inferred_from_all_partitions_has_room_for_the_next_one(tmp_path):
    uri = lake(tmp_path, "k=1", "k=2")
    schema = infer_schema(profile_files(uri)[1], "s")
    rules = {rule.type: rule for rule in schema.expectations if rule.subject == "k"}
    assert list(rules) == ["expect_column_to_exist"]
    lake(tmp_path, "k=900")
    window = Window(uri=uri, partitions=("900",))
    assert check_schema(schema, profile_files(uri, ["900"])[1], window, "training").outcome is Outcome.PASS


def test_column_that_names_the_window_is_no_feature_unless_it_is_asked_for(tmp_path):
    table = ROWS.append_column("y", pa.array([0, 1] * 100))
    plain, folders = lake(tmp_path / "p", "1", table=table), lake(tmp_path / "h", "k=1/m=u", table=table)
    spec = DatasetSpec(target="y")
    rows = read_rows(Window(uri=folders, partitions=("1",)), spec)
    assert rows.features == ["x", "c", "m"]
    asked = read_rows(Window(uri=folders, partitions=("1",)), DatasetSpec(target="y", segments=("k",)))
    assert "k" in asked.frame
    without = DatasetSpec(target="y", key=("x",))
    held = [list(read_rows(Window(uri=u, partitions=("1",)), without).held_back) for u in (plain, folders)]
    assert held[0] == held[1]


def test_some_columns_are_read_with_those_of_folders(tmp_path):
    uri = lake(tmp_path, "k=1", "k=2")
    table = read_window(Window(uri=uri), ["k", "c"])
    assert table.column_names == ["k", "c"]
    assert table.column("k").to_pylist() == ["1"] * 200 + ["2"] * 200
