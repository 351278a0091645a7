"""Files that are damaged or do not fit together: a named error, or exactly what is there."""

from __future__ import annotations

import os

import pyarrow as pa
import pytest
from windows import ROWS, TABLE, lay, measure, parquet

from airflow_mlops.backends.profiling.files.dataset import describe_window, read_window
from airflow_mlops.core.errors import InvalidDataError

CSV = b"x,y,c\n" + b"".join(b"%d,%.2f,name%d\n" % (i, i / 7, i) for i in range(300))
BLOCK = 1 << 20  # Arrow parses csv in blocks of this size


def damaged(data, at, new):
    return data[:at] + new + data[at + len(new) :]


PARQUET = {
    "cut": parquet()[:3000],
    "footer_cut": parquet()[:-20],
    "few_bytes": b"PAR1",
    "other_magic": parquet()[:-4] + b"PARX",
    "absurd_footer_length": parquet()[:-8] + b"\xff\xff\xff\x7fPAR1",
    "no_footer": parquet()[:-8] + b"\0\0\0\0PAR1",
    "footer_of_junk": damaged(parquet(), len(parquet()) - 500, b"\xff" * 400),
    "text": b"x,c\n1,a\n",
    "page_header_overwritten": damaged(parquet(), 4, b"\xff" * 40),
    "compressed_page_overwritten": damaged(parquet(), 9000, bytes(100)),
}


@pytest.mark.parametrize("data", PARQUET.values(), ids=PARQUET)
def test_damaged_parquet_is_named(tmp_path, data):
    uri = lay(tmp_path, {"good.parquet": TABLE, "rows.parquet": data})
    with pytest.raises(InvalidDataError, match=r"cannot be read|row group"):
        measure(uri)


def test_flipped_value_is_found_when_pages_have_checksums(tmp_path):
    plain = {"compression": "none", "use_dictionary": False, "write_page_checksum": True}
    data = damaged(parquet(**plain), 9000, b"\xff" * 10)
    with pytest.raises(InvalidDataError, match=r"(?i)checksum|crc"):
        measure(lay(tmp_path, {"rows.parquet": data}))


CUT_CSV = {
    "between_columns": CSV[: CSV.rindex(b",")],
    "in_the_last_column": CSV[:-3],
    "before_the_last_line_break": CSV[:-1],
    "in_the_header": b"x,c",
    "quote_never_closed": b'x,c\n1,a\n2,"b\n3,c\n4,d\n',
    "quote_never_closed_over_blocks": b'x,c\n1,a\n2,"b\n' + b"3,c\n" * (BLOCK // 2),
    "quote_never_closed_beside_a_bare_one": b'x,c\n1,5" pipe\n2,"open\n3,c\n',
    "doubled_quote_at_the_end": b'x,c\n1,"a""\n',
}


@pytest.mark.parametrize("data", CUT_CSV.values(), ids=CUT_CSV)
def test_cut_csv_is_named(tmp_path, data):
    with pytest.raises(InvalidDataError):
        measure(lay(tmp_path, {"rows.csv": data}))


def test_every_cut_of_a_csv_within_a_line_is_named(tmp_path):
    text = b'x,c\n1,"a, b"\n22,cc\n333,"d ""q"" e"\n'
    for end in (e for e in range(1, len(text)) if text[e - 1 : e] != b"\n"):
        with pytest.raises(InvalidDataError):
            measure(lay(tmp_path, {"rows.csv": text[:end]}))


BAD_CSV = {
    "row_too_long": (b"x,c\n1,a\n2,b,9\n", "Expected 2 columns, got 3"),
    "row_too_short": (b"x,c\n1,a\n2\n", "Expected 2 columns, got 1"),
    "no_bytes": (b"", "0 rows"),
    "header_only": (b"x,c\n", "0 rows"),
    "latin_1": ("x,c\n1,é\n2,b\n".encode("latin-1"), "(?i)utf-?8"),
    "latin_1_header": ("é,c\n1,a\n".encode("latin-1"), "(?i)utf-?8"),
    "latin_1_after_the_first_block": (b"x,c\n" + b"1,bb\n" * (BLOCK // 4) + b"1,\xe9\n", "(?i)utf-?8"),
    "utf_16_without_a_mark": (
        "x,c\n1,e\n2,b\n".encode("utf-16-le"),
        r"every other byte is 0; .*\(utf-16-le\?\)",
    ),
    "utf_16_of_the_other_order": ("x,c\n1,e\n2,b\n".encode("utf-16-be"), r"\(utf-16-be\?\)"),
    "utf_16_cut": ("x,c\n1,é\n2,b\n".encode("utf-16")[:-1], "no utf-16 csv"),
    "junk": (bytes(range(256)) * 20, "csv|cannot be read"),
    "column_twice": (b"x,x\n1,2\n", "'x' stands there more than once"),
    "text_among_numbers_after_the_first_block": (b"x\n" + b"1234567\n" * (BLOCK // 4) + b"oops\n", "oops"),
    "field_longer_than_a_row_may_be": (b"x,c\n1," + b"a" * 65 * BLOCK + b"\n", "row at byte 4 is longer"),
}


@pytest.mark.parametrize(("data", "named"), BAD_CSV.values(), ids=BAD_CSV)
def test_csv_that_cannot_be_read_is_named(tmp_path, data, named):
    with pytest.raises(InvalidDataError, match=named):
        measure(lay(tmp_path, {"rows.csv": data}))


GOOD_CSV = {
    "utf_16": ("x,c\n1,é\n2,b\n".encode("utf-16"), {"x", "c"}),
    "field_longer_than_a_block": (b"x,c\n1," + b"a" * 3 * BLOCK + b"\n2,b\n", {"x", "c"}),
    "byte_order_mark": ("x,c\n1,é\n2,b\n".encode("utf-8-sig"), {"x", "c"}),
    "nul_in_a_text": (b"x,c\n1,a\0b\n2,b\n", {"x", "c"}),
    "line_break_in_quotes": (b'"x\ny",c\n1,"a\nb"\n2,c\n', {"x\ny", "c"}),
    "old_line_breaks": (b"x,c\r1,a\r2,b\r", {"x", "c"}),
    "windows_line_breaks": (b"x,c\r\n1,a\r\n2,b\r\n", {"x", "c"}),
    "blank_lines": (b"x,c\n1,a\n\n\n2,b\n", {"x", "c"}),
    "quote_within_a_text": (b'x,c\n1,5" pipe\n2,b\n', {"x", "c"}),
    "text_among_numbers": (b"x,c\n1,a\n\0\0,b\n", {"x", "c"}),
    "column_without_a_name": (b"x,\n1,2\n2,3\n", {"x", ""}),
}


@pytest.mark.parametrize(("data", "names"), GOOD_CSV.values(), ids=GOOD_CSV)
def test_odd_csv_is_read_as_it_stands(tmp_path, data, names):
    profile = measure(lay(tmp_path, {"rows.csv": data}))
    assert profile.rows == (1 if names == {"x\ny", "c"} else 2) + (names == {"x\ny", "c"})
    assert set(profile.names) == names


def stamps(unit, *values, zone=None):
    return pa.table({"t": pa.array(values, pa.timestamp(unit, zone))})


UNFIT = {
    "text_and_number": (pa.table({"x": [1]}), pa.table({"x": ["a"]})),
    "nested_and_number": (pa.table({"x": [1]}), pa.table({"x": [{"deep": 1}]})),
    "two_time_zones": (stamps("us", 0, zone="UTC"), stamps("us", 0, zone="Europe/Berlin")),
    "with_and_without_time_zone": (stamps("us", 0, zone="UTC"), stamps("us", 0)),
    "number_that_no_float_holds": (pa.table({"x": [2**62 + 1]}), pa.table({"x": [1.5]})),
    "time_that_the_finer_unit_cannot_hold": (stamps("ms", 253370764800000), stamps("ns", 10**18)),
    "column_twice": (TABLE, pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])),
}


@pytest.mark.parametrize(("one", "other"), UNFIT.values(), ids=UNFIT)
def test_files_that_do_not_fit_together_are_named(tmp_path, one, other):
    with pytest.raises(InvalidDataError):
        measure(lay(tmp_path, {"a.parquet": one, "b.parquet": other}))


FIT = {
    "integer_and_float": (pa.table({"x": [1, 2]}), pa.table({"x": [1.5]}), {"x": 0}),
    "small_and_large_integer": (
        pa.table({"x": pa.array([1], pa.int8())}),
        pa.table({"x": [2**40]}),
        {"x": 0},
    ),
    "all_null_and_text": (pa.table({"x": pa.nulls(3)}), pa.table({"x": ["a"]}), {"x": 3}),
    "other_order": (
        pa.table({"x": [1], "c": ["a"]}),
        pa.table({"c": ["z", None], "x": [7, 8]}),
        {"x": 0, "c": 1},
    ),
    "column_missing": (pa.table({"x": [1], "c": ["a"]}), pa.table({"x": [7, 8]}), {"x": 0, "c": 2}),
    "text_as_codes_and_plain": (
        pa.table({"x": pa.array(["a", "b"]).dictionary_encode()}),
        pa.table({"x": ["a", None]}),
        {"x": 1},
    ),
    "coarse_and_fine_time": (stamps("s", 0, 10**9), stamps("ns", 10**18), {"t": 0}),
    "no_rows_in_one": (TABLE.slice(0, 0), TABLE.slice(0, 4), {"x": 0, "y": 0, "c": 1}),
}


@pytest.mark.parametrize(("one", "other", "nulls"), FIT.values(), ids=FIT)
def test_files_that_fit_together_count_as_one(tmp_path, one, other, nulls):
    uri = lay(tmp_path, {"a.parquet": one, "b.parquet": other})
    profile = measure(uri)
    assert {column.name: column.nulls for column in profile.columns} == nulls
    table = read_window(describe_window(uri))
    assert table.num_rows == profile.rows
    assert {name: table.column(name).null_count for name in table.column_names} == nulls


def test_csv_files_in_other_order_count_by_name(tmp_path):
    profile = measure(lay(tmp_path, {"a.csv": b"x,c\n1,a\n2,b\n", "b.csv": b"c,x\nz,7\n"}))
    assert profile.column("x").maximum == 7


@pytest.mark.parametrize("key", ["..", "../2013", "a/b", "/etc", "", ".", "a\0b", "a\nb", "~", "2013-01\n"])
def test_partition_key_that_leaves_the_dataset_is_refused(tmp_path, key):
    uri = lay(tmp_path, {"2013-01.parquet": TABLE})
    with pytest.raises(InvalidDataError, match="partition"):
        describe_window(uri, [key])


def test_link_that_leads_back_up_is_no_loop(tmp_path):
    uri = lay(tmp_path, {"deep/a.parquet": TABLE})
    (tmp_path / "deep" / "up").symlink_to(tmp_path)
    assert measure(uri).rows == ROWS


@pytest.mark.parametrize("target", ["b.parquet", "nowhere.parquet"])
def test_link_to_itself_or_to_nothing_is_named(tmp_path, target):
    uri = lay(tmp_path, {"a.parquet": TABLE})
    (tmp_path / "b.parquet").symlink_to(tmp_path / target)
    with pytest.raises(InvalidDataError, match=r"b\.parquet"):
        describe_window(uri)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_that_may_not_be_read_is_named(tmp_path):
    uri = lay(tmp_path, {"a.parquet": TABLE})
    (tmp_path / "a.parquet").chmod(0)
    with pytest.raises(InvalidDataError, match=r"a\.parquet"):
        describe_window(uri)
