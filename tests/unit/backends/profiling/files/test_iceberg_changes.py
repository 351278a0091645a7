"""Iceberg tables that were changed since a file was written: read as pyiceberg does, or refused by name."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.memory import InMemoryCatalog
from pyiceberg.types import LongType, StringType

from airflow_mlops.backends.profiling.files.arrow import profile_files
from airflow_mlops.backends.profiling.files.dataset import list_partitions, read_files
from airflow_mlops.core.data.partitions import NULL_PARTITION
from airflow_mlops.core.errors import InvalidDataError

ROWS = pa.table({"v": [1, 2, 3], "day": ["a", "b", None]})
NESTED = pa.table({"v": [1], "s": [{"p": 1, "q": 2}]})


@pytest.fixture
def table(tmp_path):
    """Return a function that makes a table of some rows and returns it with its place."""
    catalog = InMemoryCatalog("c", warehouse=f"file://{tmp_path}")
    catalog.create_namespace("n")

    def make(rows=ROWS, *, by="", appended=True):
        made = catalog.create_table("n.t", schema=rows.schema)
        if by:
            with made.update_spec() as change:
                change.add_identity(by)
        if appended:
            made.append(rows)
        return f"{tmp_path}/n/t", made

    return make


def add_file(made, rows=ROWS):
    """Give the table a file that was not written for it: its columns have no numbers."""
    file = Path(made.location().removeprefix("file://")) / "data" / "foreign.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, file)
    made.add_files([f"file://{file}"])


def drop_and_add(made, name, kind):
    with made.update_schema(allow_incompatible_changes=True) as change:
        change.delete_column(name)
    with made.update_schema() as change:
        change.add_column(name, kind)


@pytest.mark.parametrize("form", [".metadata.json.gz", ".gz.metadata.json"])
def test_packed_metadata_is_that_of_a_table(table, form):
    uri, made = table()
    made.overwrite(ROWS.slice(0, 1))
    for file in Path(uri, "metadata").glob("*.metadata.json"):
        packed = file.with_name(file.name.removesuffix(".metadata.json") + form)
        packed.write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    assert read_files(uri)[1].num_rows == 1
    for place, named in (
        (f"{uri}/data", "lies within the Iceberg"),
        (Path(uri).parent, "Iceberg table: all"),
    ):
        with pytest.raises(InvalidDataError, match=named):
            profile_files(str(place))


def test_files_from_before_the_partitioning_are_no_partition_and_named(table):
    uri, made = table()
    with made.update_spec() as change:
        change.add_identity("day")
    made.append(ROWS)
    assert profile_files(uri)[0].rows == 6
    for ask in (lambda: profile_files(uri, ["a"]), lambda: list_partitions(uri)):
        with pytest.raises(InvalidDataError, match=r"1 of 4 files were written before .* by 'day'"):
            ask()


def test_files_keep_their_partition_when_another_field_is_added(table):
    uri, made = table(by="day")
    with made.update_spec() as change:
        change.add_identity("v")
    made.append(ROWS)
    assert list_partitions(uri) == [NULL_PARTITION, "a", "b"]
    assert [profile_files(uri, [key])[0].rows for key in (NULL_PARTITION, "a", "b")] == [2, 2, 2]


def test_column_dropped_and_added_again_without_a_snapshot_is_refused(table):
    uri, made = table()
    drop_and_add(made, "day", StringType())
    assert made.scan().to_arrow().column("day").null_count == 3
    with pytest.raises(InvalidDataError, match="'day' is not that of its table"):
        profile_files(uri)


def test_names_that_were_swapped_are_refused(table):
    uri, made = table(pa.table({"a": [1], "b": [2]}))
    for old, new in (("a", "c"), ("b", "a"), ("c", "b")):
        with made.update_schema() as change:
            change.rename_column(old, new)
    with pytest.raises(InvalidDataError, match="column 'a' is 'b' in its table"):
        profile_files(uri)


def test_column_within_a_column_that_was_renamed_is_refused(table):
    uri, made = table(NESTED)
    assert read_files(uri)[1].column("s").to_pylist() == [{"p": 1, "q": 2}]
    with made.update_schema() as change:
        change.rename_column(("s", "q"), "r")
    with pytest.raises(InvalidDataError, match=r"column 's\.q' is 's\.r' in its table"):
        profile_files(uri)


def test_lists_and_maps_are_known_by_their_numbers(table):
    kind = pa.map_(pa.string(), pa.list_(pa.struct([("p", pa.int64())])))
    uri, _ = table(pa.table({"m": pa.array([[("k", [{"p": 1}])]], kind)}))
    assert read_files(uri)[1].column("m").to_pylist() == [[("k", [{"p": 1}])]]


def test_file_without_numbers_is_read_by_the_name_mapping(table):
    uri, made = table(appended=False)
    add_file(made)
    assert sorted(read_files(uri)[1].column("v").to_pylist()) == [1, 2, 3]
    with made.update_schema() as change:
        change.rename_column("day", "date")
    made.append(ROWS.rename_columns(["v", "date"]))
    with pytest.raises(InvalidDataError, match="column 'day' is 'date' in its table"):
        profile_files(uri)


def test_file_without_numbers_and_name_mapping_is_refused(table):
    uri, made = table(appended=False)
    add_file(made)
    with made.transaction() as change:
        change.remove_properties("schema.name-mapping.default")
    with pytest.raises(InvalidDataError, match="no numbers, and its table has no name mapping"):
        profile_files(uri)


def test_file_without_its_partition_column_is_refused(table):
    uri, made = table(appended=False, by="day")
    add_file(made, ROWS.slice(0, 1))
    assert read_files(uri)[1].column("day").to_pylist() == ["a"]
    pq.write_table(ROWS.slice(0, 1).select(["v"]), Path(uri, "data", "foreign.parquet"))
    with pytest.raises(InvalidDataError, match="no column 'day', whose value is in its table's log only"):
        profile_files(uri)


def test_wider_types_are_read_as_the_table_has_them(table):
    uri, made = table(pa.table({"a": pa.array([1, 2], pa.int32())}))
    with made.update_schema() as change:
        change.update_column("a", LongType())
    made.append(pa.table({"a": [2**40]}))
    assert sorted(read_files(uri)[1].column("a").to_pylist()) == [1, 2, 2**40]
