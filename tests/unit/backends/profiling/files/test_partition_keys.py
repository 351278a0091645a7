"""Partition keys: all that has a key belongs to it, whatever its characters; none is dropped in silence."""

from __future__ import annotations

import gzip

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from windows import lay

from airflow_mlops.backends.profiling.files.arrow import profile_files
from airflow_mlops.backends.profiling.files.dataset import list_partitions
from airflow_mlops.backends.profiling.files.partition_files import list_contents
from airflow_mlops.core.data.partitions import NULL_PARTITION, PartitionWait, partitions_up_to
from airflow_mlops.core.errors import InvalidDataError

ONE, TWO = pa.table({"v": [1.0]}), pa.table({"v": [2.0, 3.0]})
SEVERAL = {
    "csv_and_packed": ("k", {"k.csv": b"v\n1\n", "k.csv.gz": gzip.compress(b"v\n2\n3\n")}),
    "two_kinds_of_csv": ("k", {"k.csv": b"v\n1\n", "k.tsv": b"v\n2\n3\n"}),
    "file_and_folder": ("2024-01", {"2024-01.parquet": ONE, "2024-01/part.parquet": TWO}),
    "plain_and_named_folder": ("1", {"1/x.parquet": ONE, "k=1/x.parquet": TWO}),
    "two_columns": ("1", {"a=1/x.parquet": ONE, "b=1/x.parquet": TWO}),
    "encoded_and_plain": ("a b", {"k=a%20b/x.parquet": ONE, "k=a b/x.parquet": TWO}),
}


@pytest.mark.parametrize(("key", "content"), SEVERAL.values(), ids=SEVERAL)
def test_all_entries_of_one_key_are_its_partition(tmp_path, key, content):
    uri = lay(tmp_path, content)
    assert list_partitions(uri) == [key]
    assert (profile_files(uri, [key])[0].rows, profile_files(uri)[0].rows) == (3, 3)
    assert list_contents(uri, PartitionWait(deadline=1.0))[key].files == 2


def test_entries_of_one_key_with_different_formats_are_refused(tmp_path):
    uri = lay(tmp_path, {"k.csv": b"v\n1\n", "k.parquet": TWO})
    with pytest.raises(InvalidDataError, match=r"partition k: data files: mixed \.csv, \.parquet"):
        profile_files(uri, ["k"])


def test_marker_is_asked_of_each_folder_of_a_key(tmp_path):
    uri = lay(tmp_path, {"a=1/x.parquet": ONE, "a=1/_SUCCESS": b"", "b=1/x.parquet": TWO})
    assert not list_contents(uri, PartitionWait(deadline=1.0))["1"].marker
    lay(tmp_path, {"b=1/_SUCCESS": b""})
    assert list_contents(uri, PartitionWait(deadline=1.0))["1"].marker


NAMES = {
    "city=New%20York": "New York",
    "city=New York": "New York",
    "city=Köln": "Köln",
    "city=S%C3%A3o%20Paulo": "São Paulo",
    "city=A%2FB": "A/B",
    "h=2024-01-01T00%3A00%3A00": "2024-01-01T00:00:00",
    "share=50%25": "50%",
    "k=a=b": "a=b",
    "k=_x": "_x",
    "file=a.csv": "a.csv",
    "_year=2020": "2020",
    "東京": "東京",
    "a%20b": "a%20b",
    f"k={NULL_PARTITION}": NULL_PARTITION,
}


@pytest.mark.parametrize(("folder", "key"), NAMES.items())
def test_key_is_the_folders_value_whatever_its_characters(tmp_path, folder, key):
    uri = lay(tmp_path, {f"{folder}/x.parquet": TWO})
    assert list_partitions(uri) == [key]
    assert (profile_files(uri, [key])[0].rows, profile_files(uri)[0].rows) == (2, 2)


@pytest.mark.parametrize("folder", ["k=", "k=a%0Ab", "k=" + "a" * 251])
def test_folder_that_gives_no_key_is_named(tmp_path, folder):
    uri = lay(tmp_path, {f"{folder}/x.parquet": ONE, "k=1/x.parquet": TWO})
    with pytest.raises(InvalidDataError, match=f"folder '{folder}': partition .* allowed: 1 to 250"):
        list_partitions(uri)


def test_folders_named_with_an_underscore_are_data_below_too(tmp_path):
    uri = lay(tmp_path, {"d=1/_h=1/x.parquet": ONE, "d=1/y.parquet": TWO, "d=1/_temporary/z.parquet": TWO})
    window, profile = profile_files(uri, ["1"])
    assert (window.rows, profile.column("_h").named) == (3, {"1": 1})


@pytest.mark.parametrize("folder", ["_temporary", ".staging", ".k=1"])
def test_hidden_folders_are_no_partitions(tmp_path, folder):
    uri = lay(tmp_path, {f"{folder}/x.parquet": ONE, "k=1/x.parquet": TWO})
    assert (list_partitions(uri), profile_files(uri)[0].rows) == (["1"], 2)


def test_null_partition_is_listed_first_and_never_the_newest(tmp_path):
    uri = lay(tmp_path, {f"day={NULL_PARTITION}/x.parquet": ONE, "day=2024-01/x.parquet": TWO})
    known = list_partitions(uri)
    assert known == [NULL_PARTITION, "2024-01"]
    assert list(list_contents(uri, PartitionWait(deadline=1.0))) == ["2024-01"]
    assert list(list_contents(uri, PartitionWait(partition=NULL_PARTITION, deadline=1.0))) == known[:1]


def test_null_partition_of_a_delta_table_is_a_key(tmp_path):
    write_deltalake(str(tmp_path), pa.table({"v": [1, 2, 3], "d": ["a b", None, None]}), partition_by=["d"])
    assert list_partitions(str(tmp_path)) == [NULL_PARTITION, "a b"]
    assert [profile_files(str(tmp_path), [key])[0].rows for key in (NULL_PARTITION, "a b")] == [2, 1]


def test_rows_of_no_partition_are_trained_on_only_when_asked_for():
    known = [NULL_PARTITION, "alpha", "beta"]
    assert partitions_up_to("beta", known, 3) == ("alpha", "beta")
    assert partitions_up_to(NULL_PARTITION, known, 3) == (NULL_PARTITION,)
