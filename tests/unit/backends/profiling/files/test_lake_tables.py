"""A folder that is a table is read as that table at a version, or refused by name; never as mere files."""

from __future__ import annotations

import json
import shutil
import sys

import fsspec
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from pyiceberg.catalog.memory import InMemoryCatalog
from pyiceberg.types import LongType
from windows import lay, parquet

from airflow_mlops.backends.profiling.files.arrow import profile_files
from airflow_mlops.backends.profiling.files.dataset import (
    describe_window,
    list_partitions,
    read_files,
    read_window,
    window_bytes,
)
from airflow_mlops.backends.profiling.files.partition_files import list_contents
from airflow_mlops.core.data.partitions import PartitionWait
from airflow_mlops.core.errors import InvalidDataError, MissingDependencyError

OLD = pa.table({"x": range(10), "day": ["2013-01"] * 6 + ["2013-02"] * 4})
NEW = pa.table({"x": range(100, 103), "day": ["2013-01", "2013-01", "2013-03"]})


def delta(folder, *tables, **options):
    for table in tables:
        write_deltalake(str(folder), table, mode="overwrite", **options)
    return str(folder)


def iceberg(folder, *tables, by=""):
    catalog = InMemoryCatalog("c", warehouse=f"file://{folder}")
    catalog.create_namespace("n")
    made = catalog.create_table("n.t", schema=OLD.schema)
    if by:
        with made.update_spec() as change:
            change.add_identity(by)
    made.append(tables[0])
    for table in tables[1:]:
        made.overwrite(table)
    return f"{folder}/n/t", made


@pytest.fixture(params=["delta", "iceberg"])
def overwritten(request, tmp_path):
    """A table that was overwritten: its place, its first version and the newest."""
    if request.param == "delta":
        return delta(tmp_path / "t", OLD, NEW), "0", "1"
    uri, made = iceberg(tmp_path, OLD, NEW)
    return uri, str(made.snapshots()[0].snapshot_id), str(made.current_snapshot().snapshot_id)


@pytest.fixture(params=["delta", "iceberg"])
def partitioned(request, tmp_path):
    """A table partitioned by its column ``day``."""
    if request.param == "delta":
        return delta(tmp_path / "t", OLD, NEW, partition_by=["day"])
    return iceberg(tmp_path, OLD, NEW, by="day")[0]


def test_rows_are_those_of_the_newest_version(overwritten):
    uri, _, newest = overwritten
    window, profile = profile_files(uri)
    assert (window.rows, profile.column("x").minimum, profile.notes) == (
        3,
        100,
        (f"table at version {newest}",),
    )
    assert sorted(read_files(uri)[1].column("x").to_pylist()) == [100, 101, 102]


def test_version_that_is_asked_for_is_read(overwritten):
    uri, first, _ = overwritten
    assert sorted(read_files(f"{uri}#version={first}")[1].column("x").to_pylist()) == list(range(10))


def test_window_names_the_version_so_that_a_replay_reads_the_same_rows(tmp_path):
    uri = delta(tmp_path / "t", OLD)
    window = profile_files(uri)[0]
    assert window.uri == f"{uri}#version=0"
    delta(uri, NEW)
    again, rows = read_files(window.uri, window.partitions)
    assert (again, rows.num_rows) == (window, 10)
    assert describe_window(uri).digest != window.digest


def test_digest_differs_by_version_although_the_files_do_not(tmp_path):
    uri = delta(tmp_path / "t", OLD)
    DeltaTable(uri).alter.set_table_properties({"delta.appendOnly": "false"})
    one, other = describe_window(f"{uri}#version=0"), describe_window(f"{uri}#version=1")
    assert one.rows == other.rows
    assert one.digest != other.digest


def test_partitions_are_values_of_the_first_partition_column(partitioned):
    assert list_partitions(partitioned) == ["2013-01", "2013-03"]
    window, profile = profile_files(partitioned, ["2013-01"])
    assert (window.rows, profile.partition_column) == (2, "day")
    assert profile.column("day").named == {"2013-01": 2}
    assert read_window(window).column("day").to_pylist() == ["2013-01"] * 2
    with pytest.raises(InvalidDataError, match="no partition '2013-02'; partitions: 2013-01, 2013-03"):
        profile_files(partitioned, ["2013-02"])


def test_arrival_of_partitions_is_seen_in_the_table(partitioned):
    found = list_contents(partitioned, PartitionWait(deadline=100.0))
    assert {key: contents.files for key, contents in found.items()} == {"2013-01": 1, "2013-03": 1}


def test_table_without_partitions_has_none(overwritten):
    assert list_partitions(overwritten[0]) == []
    assert window_bytes(describe_window(overwritten[0])) > 0


def test_table_that_was_copied_is_read_where_it_lies(overwritten, tmp_path):
    shutil.copytree(overwritten[0], tmp_path / "copy")
    expected = describe_window(overwritten[0]).digest
    shutil.rmtree(overwritten[0])
    assert describe_window(str(tmp_path / "copy")).digest == expected


def test_table_in_object_storage_is_read_through_the_file_system_given(overwritten):
    memory = fsspec.filesystem("memory")
    place = f"/lakehouse/{overwritten[2]}"
    memory.put(overwritten[0], place, recursive=True)
    window, profile = profile_files(f"memory:/{place}", filesystem=memory)
    assert (window.rows, profile.names) == (3, ("x", "day"))
    memory.rm("/lakehouse", recursive=True)


@pytest.mark.parametrize("version", ["7", "x", "-1"])
def test_version_that_is_not_there_is_named(overwritten, version):
    with pytest.raises(InvalidDataError, match=f"(version|snapshot) '?{version}"):
        describe_window(f"{overwritten[0]}#version={version}")


def test_versions_of_a_delta_table_are_named(tmp_path):
    uri = str(tmp_path / "t")
    for x in (1, 2, 3):
        write_deltalake(uri, pa.table({"x": [x]}), mode="append")
    with pytest.raises(InvalidDataError) as caught:
        describe_window(f"{uri}#version=99")
    assert str(caught.value) == f"{uri}: no version 99 of the Delta table; versions: 0 to 2"


def test_file_that_was_removed_since_a_version_is_named_with_it(tmp_path):
    uri = str(tmp_path / "t")
    for x in (1, 2):
        write_deltalake(uri, pa.table({"x": [x]}), mode="overwrite")
    DeltaTable(uri).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    with pytest.raises(
        InvalidDataError, match=r"^part-.*: cannot be read: .*which version 0 of the table needs"
    ):
        describe_window(f"{uri}#version=0")


def test_version_of_what_is_no_table_is_refused(tmp_path):
    uri = lay(tmp_path, {"a.parquet": OLD})
    with pytest.raises(InvalidDataError, match="version '1' is stated, but it is no Delta or Iceberg table"):
        describe_window(f"{uri}#version=1")


@pytest.mark.parametrize(("library", "extra"), [("deltalake", "delta"), ("pyiceberg.exceptions", "iceberg")])
def test_table_whose_library_is_missing_is_refused_with_what_to_install(
    tmp_path, monkeypatch, library, extra
):
    uri = delta(tmp_path / "t", OLD) if extra == "delta" else iceberg(tmp_path, OLD)[0]
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingDependencyError, match=rf"table; install airflow-provider-mlops\[{extra}\]"):
        profile_files(uri)


def test_path_within_a_table_is_refused(partitioned):
    parts = sorted(path for path in fsspec.filesystem("file").find(partitioned) if path.endswith(".parquet"))
    for path in (parts[0], parts[0].rpartition("/")[0]):
        with pytest.raises(InvalidDataError, match=r"lies within the (Delta|Iceberg) table"):
            profile_files(path)


def test_folder_of_tables_is_refused(overwritten):
    with pytest.raises(InvalidDataError, match=r"is an? (Delta|Iceberg) table: allowed is its own path"):
        profile_files(overwritten[0].rpartition("/")[0])


def test_hudi_table_is_refused_by_name(tmp_path):
    uri = lay(tmp_path, {"a.parquet": OLD, ".hoodie/hoodie.properties": b""})
    with pytest.raises(InvalidDataError, match="it is a Hudi table"):
        profile_files(uri)


def test_columns_that_were_added_later_are_null_in_older_files(tmp_path):
    uri = delta(tmp_path / "t", OLD)
    write_deltalake(
        uri, NEW.append_column("z", pa.array(["a", "b", None])), mode="append", schema_mode="merge"
    )
    window, profile = profile_files(uri)
    assert {column.name: column.nulls for column in profile.columns} == {"x": 0, "day": 0, "z": 11}
    assert read_window(window).column("z").null_count == 11


@pytest.mark.parametrize("feature", ["columnMapping", "somethingNew"])
def test_delta_feature_that_changes_what_files_hold_is_refused_by_name(tmp_path, feature):
    uri = delta(tmp_path / "t", OLD)
    log = next((tmp_path / "t" / "_delta_log").glob("*.json"))
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    for action in actions:
        if "protocol" in action:
            features = {"readerFeatures": [feature], "writerFeatures": [feature]}
            action["protocol"] = {"minReaderVersion": 3, "minWriterVersion": 7, **features}
    log.write_text("\n".join(map(json.dumps, actions)))
    with pytest.raises(InvalidDataError, match=f"Delta table .*{feature}"):
        profile_files(uri)


def test_iceberg_columns_are_those_of_the_snapshot_and_later_changes_are_told(tmp_path):
    uri, made = iceberg(tmp_path, OLD)
    with made.update_schema() as change:
        change.add_column("z", LongType())
    old = made.current_snapshot().snapshot_id
    notes = profile_files(f"{uri}#version={old}")[1].notes
    assert notes[-1].endswith("not the table's since: x, day, z")
    assert read_files(uri)[1].column("z").null_count == 10


def test_iceberg_file_whose_column_was_renamed_is_refused(tmp_path):
    uri, made = iceberg(tmp_path, OLD)
    with made.update_schema() as change:
        change.rename_column("x", "y")
    made.append(NEW.rename_columns(["y", "day"]))
    with pytest.raises(InvalidDataError, match=r"column 'x' is 'y' in its table: compact"):
        profile_files(uri)


def test_iceberg_column_that_was_dropped_and_added_again_is_refused(tmp_path):
    uri, made = iceberg(tmp_path, OLD)
    with made.update_schema(allow_incompatible_changes=True) as change:
        change.delete_column("x")
    with made.update_schema() as change:
        change.add_column("x", LongType())
    made.append(NEW.select(["day", "x"]))
    with pytest.raises(InvalidDataError, match="was dropped and added again"):
        profile_files(uri)


def test_plain_parquet_beside_a_folder_named_metadata_is_no_table(tmp_path):
    uri = lay(tmp_path, {"a.parquet": parquet(OLD), "metadata/notes.txt": b"none"})
    assert profile_files(uri)[0].rows == 10
