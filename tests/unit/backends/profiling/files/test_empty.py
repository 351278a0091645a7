"""What has no rows is named and never a pass, and leaves the other files readable; errors name the file."""

from __future__ import annotations

import pyarrow as pa
import pytest
from windows import TABLE, lay, measure, parquet

from airflow_mlops.backends.profiling.comparison import compare_windows
from airflow_mlops.backends.profiling.files.arrow import profile_window
from airflow_mlops.backends.profiling.files.dataset import read_window
from airflow_mlops.backends.rules.great_expectations import check_schema
from airflow_mlops.backends.rules.propose import compare_with_data, propose_schema
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.errors import InvalidDataError, NoRowsError
from airflow_mlops.core.verdict import Outcome

CSV = b"x,c\n" + b"".join(b"%d,%d\n" % (i, i % 7) for i in range(300))
OTHER = pa.table({"x": pa.array([], pa.string()), "z": pa.array([], pa.binary())})
EMPTY = {
    "parquet without rows": ("parquet", parquet(TABLE.slice(0, 0))),
    "parquet without rows, of other types": ("parquet", parquet(OTHER)),
    "parquet without bytes": ("parquet", b""),
    "csv of a header": ("csv", b"x,c\n"),
    "csv of another header": ("csv", b"x;c;d\n"),
    "csv without bytes": ("csv", b""),
    "csv of a byte order mark": ("csv", b"\xef\xbb\xbf"),
    "csv of blank lines": ("csv", b"\n\n\r\n"),
}
FILLED = {"parquet": parquet(), "csv": CSV}
empty_files = pytest.mark.parametrize(("kind", "data"), EMPTY.values(), ids=EMPTY)


def months(tmp_path, kind, data):
    """Three partitions of one file each; the second has no rows."""
    filled = FILLED[kind]
    return lay(tmp_path, {f"2026-01.{kind}": filled, f"2026-02.{kind}": data, f"2026-03.{kind}": filled})


@empty_files
def test_empty_partition_is_named_and_the_others_are_read(tmp_path, kind, data):
    uri = months(tmp_path, kind, data)
    profile = measure(uri)
    one = measure(uri, ["2026-01"])
    assert (profile.rows, profile.names) == (2 * one.rows, one.names)
    assert profile.empty == (f"2026-02.{kind}",)
    assert profile.notes[-1] == f"no rows in 2026-02.{kind}"
    assert read_window(Window(uri=uri)).num_rows == profile.rows


@empty_files
def test_window_with_an_empty_partition_is_no_pass(tmp_path, kind, data):
    uri = months(tmp_path, kind, data)
    schema = propose_schema(Window(uri=uri), "s").schema
    told = f"2026-02.{kind}: no rows: missing data"
    for window in (Window(uri=uri), Window(uri=uri, partitions=("2026-01", "2026-02"))):
        verdict = check_schema(schema, profile_window(window), window, "training")
        assert (verdict.outcome, verdict.reasons) == (Outcome.WARN, (told,))
    filled = Window(uri=uri, partitions=("2026-01",))
    report = compare_windows(Window(uri=uri), filled)
    assert report.verdict.reasons == (told.replace(":", " of the reference:", 1),)
    report = compare_windows(filled, Window(uri=uri))
    assert report.verdict.reasons == (told.replace(":", " of the window:", 1),)
    report = compare_windows(Window(uri=uri), filled, by_blocks=True)
    assert report.verdict.reasons == ("partition 2026-02 of the reference: no rows: missing data",)


@empty_files
def test_window_of_nothing_else_is_refused_by_name(tmp_path, kind, data):
    uri = months(tmp_path, kind, data)
    with pytest.raises(NoRowsError, match="window 2026-02 has 0 rows"):
        measure(uri, ["2026-02"])
    with pytest.raises(NoRowsError, match="no rows in partition 2026-02"):
        compare_windows(Window(uri=uri, partitions=("2026-02",)), Window(uri=uri), by_blocks=True)


def test_file_without_rows_beside_others_of_its_partition_is_noted_only(tmp_path):
    parts = {"k=1/0.parquet": TABLE, "k=1/1.parquet": TABLE.slice(0, 0), "k=2/0.parquet": TABLE}
    profile = measure(lay(tmp_path, parts))
    assert (profile.empty, profile.notes[-1]) == ((), "no rows in k=1/1.parquet")


def test_file_without_bytes_is_missing_data_whatever_lies_beside_it(tmp_path):
    profile = measure(lay(tmp_path, {"k=1/0.parquet": TABLE, "k=1/1.parquet": b""}))
    assert profile.empty == ("k=1/1.parquet",)


def test_folder_of_a_partition_without_files_is_missing_data_and_one_beside_the_data_is_not(tmp_path):
    files = {"k=1/0.parquet": TABLE, "k=2/_SUCCESS": b"", "docs/read.md": b"text"}
    uri = lay(tmp_path, files)
    (tmp_path / "k=3").mkdir()
    (tmp_path / "tmp").mkdir()
    profile = measure(uri)
    assert (profile.empty, profile.notes[-1]) == (("k=2", "k=3"), "no rows in k=2, k=3")
    assert measure(uri, ["1"]).empty == ()


def test_empty_folder_beside_partitions_that_are_files_is_no_partition(tmp_path):
    uri = lay(tmp_path, {"2026-01.parquet": TABLE})
    (tmp_path / "2026-02").mkdir()
    assert measure(uri).empty == ()


def test_plain_folder_without_files_is_a_partition_where_others_are_plain_folders(tmp_path):
    uri = lay(tmp_path, {"2026-01/a.parquet": TABLE})
    (tmp_path / "2026-02").mkdir()
    assert measure(uri).empty == ("2026-02",)


def test_partition_that_came_empty_is_no_change_of_the_schema(tmp_path):
    uri = months(tmp_path, "csv", b"")
    schema = propose_schema(Window(uri=uri), "s").schema
    assert compare_with_data(schema, Window(uri=uri)).changes == ()


CLASHES = {
    "parquet": ({"a.parquet": pa.table({"x": [1]}), "b.parquet": pa.table({"x": ["u"]})}, "string", ""),
    "csv": ({"a.csv": b"x,y\n1,2\n", "b.csv": b"x,y\nu,2\n"}, "string", "; state its type (dtypes)"),
}


@pytest.mark.parametrize(("files", "kind", "advice"), CLASHES.values(), ids=CLASHES)
def test_files_that_do_not_fit_together_are_named(tmp_path, files, kind, advice):
    more = next(iter(files)).replace("a.", "0.")
    uri = lay(tmp_path, {more: files[more.replace("0.", "a.")], **files})
    with pytest.raises(InvalidDataError) as caught:
        measure(uri)
    first, second = more, more.replace("0.", "b.")
    assert str(caught.value) == f"{second}: column 'x' is {kind}, in {first} int64{advice}"


def test_value_that_does_not_fit_beside_other_files_names_its_file(tmp_path):
    uri = lay(tmp_path, {"a.parquet": pa.table({"x": [2**60 + 1]}), "b.parquet": pa.table({"x": [0.5]})})
    for read in (lambda: profile_window(Window(uri=uri)), lambda: read_window(Window(uri=uri))):
        with pytest.raises(InvalidDataError, match=r"^a\.parquet: cannot be read: .*(range|not in)"):
            read()


def test_file_is_named_with_its_folder(tmp_path):
    uri = lay(tmp_path, {"k=1/a.parquet": pa.table({"x": [1]}), "k=2/a.parquet": pa.table({"x": ["u"]})})
    with pytest.raises(
        InvalidDataError, match=r"^k=2/a.parquet: column 'x' is string, in k=1/a.parquet int64$"
    ):
        measure(uri)
    uri = lay(tmp_path / "csv", {"k=1/a.csv": b"x,y\n1,2\n", "k=2/a.csv": b"x,y\n1\n"})
    with pytest.raises(InvalidDataError, match=r"^k=2/a.csv: cannot be read: .*Expected 2 columns, got 1"):
        measure(uri)


@pytest.mark.parametrize("files", [{"m=2/_SUCCESS": b""}, {"m=2/notes.txt": b"none"}])
def test_named_partition_without_files_is_named_and_the_others_are_read(tmp_path, files):
    uri = lay(tmp_path, {"m=1/0.parquet": TABLE, **files})
    profile = measure(uri, ["1", "2"])
    assert (profile.rows, profile.empty) == (TABLE.num_rows, ("m=2",))
    assert profile.notes[-1] == "no rows in m=2"
    with pytest.raises(NoRowsError, match="partition 2: data files: none"):
        measure(uri, ["2"])
