"""Csv as people have it: the dialect is stated or found and told; nothing is changed in silence."""

from __future__ import annotations

import bz2
import gzip
import lzma

import fsspec
import pyarrow as pa
import pytest
from windows import count_reads, lay

from airflow_mlops.backends.profiling.files.arrow import profile_files
from airflow_mlops.backends.profiling.files.csv import file
from airflow_mlops.backends.profiling.files.dataset import describe_window, list_partitions, read_window
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.errors import InvalidDataError

PLAIN = b"id,name\n1,a\n2,b\n"


def rows_of(tmp_path, data, options="", name="rows.csv"):
    uri = lay(tmp_path, {name: data})
    return read_window(Window(uri=f"{uri}#{options}" if options else uri)).to_pydict()


def notes_of(tmp_path, data, options=""):
    uri = lay(tmp_path, {"rows.csv": data})
    return profile_files(f"{uri}#{options}" if options else uri)[1].notes


FOUND = {
    "comma": (b"a,b\n1,x;y\n", ","),
    "semicolon": (b"a;b;c\n1;2;x,y\n3;4;z\n", ";"),
    "semicolon_with_decimal_commas": (b"a;b\n1,5;2,5\n2,5;3,5\n", ";"),
    "tab": (b"a\tb\n1\tx,y\n", "\t"),
    "bar": (b"a|b\n1|x,y\n2|z\n", "|"),
    "delimiter_in_quotes": (b'a;b\n"1;2";"x,y"\n', ";"),
    "one_column": (b"a\n1\n2\n", ","),
    "one_column_of_lists": (b"tags\nx;y\nz\n", ","),
}


@pytest.mark.parametrize(("data", "delimiter"), FOUND.values(), ids=FOUND)
def test_delimiter_that_is_not_stated_is_found_and_told(tmp_path, data, delimiter):
    assert notes_of(tmp_path, data)[0].startswith(f"csv: delimiter {delimiter!r}")


@pytest.mark.parametrize(
    ("data", "x"),
    [
        (b"x;y\n1,5;a\n2,25;b\n", [1.5, 2.25]),
        (b"x;y\n1.5;a\n2.25;b\n", [1.5, 2.25]),
        (b"x;y\n1,234;a\n2,345;b\n", ["1,234", "2,345"]),
        (b"x;y\n1,5;2.5\n2,5;3.5\n", ["1,5", "2,5"]),
        (b'x,y\n"1,234",a\n"2,25",b\n', ["1,234", "2,25"]),
    ],
    ids=["comma", "point", "thousands", "both", "beside_commas"],
)
def test_decimal_comma_is_found_where_it_is_certain(tmp_path, data, x):
    assert rows_of(tmp_path, data)["x"] == x


STATED = {
    "delimiter": (b"a:b\n1:2\n", "delimiter=:", {"a": [1], "b": [2]}),
    "tab_by_name": (b"a\tb\n1\t2\n", "delimiter=tab", {"a": [1], "b": [2]}),
    "latin_1": ("a,b\n1,é\n".encode("latin-1"), "encoding=latin-1", {"a": [1], "b": ["é"]}),
    "cp1252": ("a,b\n1,€\n".encode("cp1252"), "encoding=cp1252", {"a": [1], "b": ["€"]}),
    "utf_16_without_a_mark": ("a,b\n1,é\n".encode("utf-16-le"), "encoding=utf-16-le", {"a": [1], "b": ["é"]}),
    "decimal": (b'a,b\n1,"1,234"\n', "decimal=,", {"a": [1], "b": [1.234]}),
    "quote": (b"a,b\n1,'x,y'\n", "quote='", {"a": [1], "b": ["x,y"]}),
    "first_line_of_excel": (b"sep=;\r\na;b\r\n1;x,y\r\n", "", {"a": [1], "b": ["x,y"]}),
    "no_quote": (b'a,b\n1,5" pipe\n2,"x\n', "quote=", {"a": [1, 2], "b": ['5" pipe', '"x']}),
    "na_values": (b"a,b\n-9,NA\n2,\n", "na_values=-9", {"a": [None, 2], "b": ["NA", None]}),
    "no_words": (b"a,b\n1,NA\n2,\n", "na_values=", {"a": [1, 2], "b": ["NA", None]}),
    "text": (b"a,b\n1,2\n", "dtype=text:a", {"a": ["1"], "b": [2]}),
    "number": (b"a,b\n1,2\n", "dtype=number:a", {"a": [1.0], "b": [2]}),
    "drop_zeros": (b"a,b\n001,2\n", "dtype=integer:a", {"a": [1], "b": [2]}),
    "no_final_newline": (b"a,b\n1,x", "final_newline=false", {"a": [1], "b": ["x"]}),
}


@pytest.mark.parametrize(("data", "options", "rows"), STATED.values(), ids=STATED)
def test_stated_dialect_is_used(tmp_path, data, options, rows):
    assert rows_of(tmp_path, data, options) == rows


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gz", "bz2", "xz"])
def test_packed_csv_is_read_once_and_its_digest_is_of_the_packed_bytes(monkeypatch, pack):
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    suffix = {gzip.compress: "gz", bz2.compress: "bz2", lzma.compress: "xz"}[pack]
    data = pack(b"id,name\n" + b"".join(b"%d,name %d\n" % (i, i * 7919 % 10007) for i in range(150_000)))
    memory.pipe_file(f"/lake/2013-01.csv.{suffix}", data)
    reads = count_reads(monkeypatch)
    window, profile = profile_files("memory://lake", ["2013-01"])
    assert (profile.rows, reads.total()) == (150_000, len(data))
    assert window == describe_window("memory://lake", ["2013-01"])
    memory.store.clear()


@pytest.mark.parametrize("cut", [10, -9, -1])
def test_packed_csv_that_was_cut_is_named(tmp_path, cut):
    uri = lay(tmp_path, {"rows.csv.gz": gzip.compress(b"x\n" + b"1\n" * 1000)[:cut]})
    with pytest.raises(InvalidDataError, match=r"rows\.csv\.gz: cannot be unpacked .*cut"):
        profile_files(uri)


def test_names_of_csv_files_may_be_in_capitals_and_of_tabs(tmp_path):
    files = {"a.CSV": PLAIN, "b.tsv": b"id\tname\n3\tx,y\n", "c.Csv.GZ": gzip.compress(PLAIN)}
    uri = lay(tmp_path, files)
    assert list_partitions(uri) == ["a", "b", "c"]
    assert read_window(Window(uri=uri)).to_pydict() == {"id": [1, 2, 3, 1, 2], "name": [*"ab", "x,y", *"ab"]}


BLANK = b'id,name,city\n1,,\n2,bob,\n3,"",\n4,ann,\n'


def test_blank_text_is_missing_as_pandas_reads_it(tmp_path):
    pandas = pytest.importorskip("pandas")
    uri = lay(tmp_path, {"rows.csv": BLANK})
    theirs = pandas.read_csv(tmp_path / "rows.csv").isna().sum().to_dict()
    assert (
        {c.name: c.nulls for c in profile_files(uri)[1].columns} == theirs == {"id": 0, "name": 2, "city": 4}
    )


def test_words_for_missing_are_those_of_pandas_in_every_type_and_told_of_text(tmp_path):
    from pandas._libs.parsers import STR_NA_VALUES

    words = sorted(STR_NA_VALUES - {""})
    data = "name,x\n" + "".join(f"{word},{word}\n" for word in words) + "bob,1.5\n"
    uri = lay(tmp_path, {"rows.csv": data.encode()})
    profile = profile_files(uri)[1]
    assert [column.nulls for column in profile.columns] == [len(words)] * 2
    assert profile.column("x").kind == "number"
    assert "read as missing (na_values)" in profile.notes[-1]


ZEROS = {
    "ids": (b"zip,n\n00123,1\n90210,2\n", {"zip": ["00123", "90210"], "n": [1, 2]}),
    "only_zeros": (b"zip,n\n00,1\n", {"zip": ["00"], "n": [1]}),
    "with_a_sign": (b"zip,n\n-01,1\n", {"zip": ["-01"], "n": [1]}),
    "quoted": (b'zip,n\n"007",1\n', {"zip": ["007"], "n": [1]}),
    "codes_with_a_point": (b"zip,n\n01.10,1\n01.1,2\n", {"zip": ["01.10", "01.1"], "n": [1, 2]}),
    "fractions": (b"x,n\n0.5,1\n-0.5,0\n", {"x": [0.5, -0.5], "n": [1, 0]}),
    "more_digits_than_a_number_holds": (
        b"zip,n\n12345678901234567890,1\n12345678901234567891,2\n",
        {"zip": ["12345678901234567890", "12345678901234567891"], "n": [1, 2]},
    ),
}


@pytest.mark.parametrize(("data", "rows"), ZEROS.values(), ids=ZEROS)
def test_digits_are_kept_as_they_stand(tmp_path, data, rows):
    assert rows_of(tmp_path, data) == rows


def test_column_that_stays_text_is_told(tmp_path):
    note = "zip kept as text: '00123' has leading zeros; state its type (dtypes), other files may have none"
    assert note in notes_of(tmp_path, b"zip,n\n00123,1\n")


@pytest.mark.parametrize("values", [["0x1f", "0x2A", "0x00ff"], ["1", "0X1F"], ["-7", "0xg"]])
def test_hexadecimal_is_text_and_told(tmp_path, values):
    data = "\n".join(["wallet,n", *(f"{value},1" for value in values), ""]).encode()
    assert rows_of(tmp_path, data)["wallet"] == values
    assert ("wallet kept as text" in " ".join(notes_of(tmp_path, data))) is ("0xg" not in values)


def test_hexadecimal_after_numbers_is_asked_about(tmp_path, monkeypatch):
    monkeypatch.setattr(file, "BLOCK_BYTES", 64)
    uri = lay(tmp_path, {"rows.csv": b"id,n\n" + b"90210,1\n" * 50 + b"0x1f,1\n"})
    with pytest.raises(InvalidDataError, match=r"'id' holds '0x1f', which is hexadecimal, .*{id: text}"):
        profile_files(uri)
    assert read_window(Window(uri=f"{uri}#dtype=text:id")).column("id")[-1].as_py() == "0x1f"


def test_leading_zeros_in_one_file_make_text_of_the_column_in_all(tmp_path):
    uri = lay(tmp_path, {"a.csv": b"zip\n90210\n", "b.csv": b"zip\n00123\n"})
    assert read_window(Window(uri=uri)).to_pydict() == {"zip": ["90210", "00123"]}
    assert profile_files(uri)[1].notes[-1].startswith("b.csv: zip kept as text: '00123' has leading zeros")


def test_leading_zeros_after_numbers_without_are_asked_about(tmp_path, monkeypatch):
    monkeypatch.setattr(file, "BLOCK_BYTES", 64)
    uri = lay(tmp_path, {"rows.csv": b"zip,day\n" + b"90210,01/02/2013\n" * 50 + b"00123,01/02/2013\n"})
    with pytest.raises(InvalidDataError, match=r"rows\.csv: column 'zip' holds '00123'.*dtypes: {zip: text}"):
        profile_files(uri)
    assert read_window(Window(uri=f"{uri}#dtype=text:zip")).column("zip")[-1].as_py() == "00123"
    assert read_window(Window(uri=f"{uri}#dtype=integer:zip")).column("zip")[-1].as_py() == 123


WIDE = {
    "stated_wrong": (b"id;name\n1;a\n2;b\n", "delimiter=,", "';'"),
    "ragged": (b"id;name\n1;a\n2;b;c\n3;d\n", "", "';'"),
    "control_character": (b"id\x01name\n1\x01a\n2\x01b\n", "", r"'\\x01'"),
    "colons": (b"id:name:x\n1:a:5\n2:b:6\n", "", "':'"),
    "caret": (b"id^name\n1^a\n", "", r"'\^'"),
    "whole_rows_in_quotes": (b'"id,name"\n"1,a"\n"2,b"\n', "", "','"),
}


@pytest.mark.parametrize(("data", "options", "mark"), WIDE.values(), ids=WIDE)
def test_one_wide_column_of_text_is_a_named_error(tmp_path, data, options, mark):
    with pytest.raises(InvalidDataError, match=rf"rows\.csv: one column, '.*', whose .*hold {mark}"):
        rows_of(tmp_path, data, options)


@pytest.mark.parametrize(
    "data", [b"full name\nJohn Smith\nAda L\n", b"time\n08:30\n", b'city\n"Bonn, BRD"\n']
)
def test_one_column_of_text_is_no_error(tmp_path, data):
    assert len(rows_of(tmp_path, data)) == 1


def test_wide_column_may_be_stated_to_be_text(tmp_path):
    assert rows_of(tmp_path, b"a;b\n1;2\n", "delimiter=,&dtype=text:a%3Bb") == {"a;b": ["1;2"]}


def test_type_of_a_column_that_no_file_has_is_refused(tmp_path):
    with pytest.raises(InvalidDataError, match="dtypes: no column 'zpi'; columns: id, name"):
        rows_of(tmp_path, PLAIN, "dtype=text:zpi")


def test_type_that_the_first_rows_do_not_tell_can_be_stated(tmp_path, monkeypatch):
    monkeypatch.setattr(file, "BLOCK_BYTES", 64)
    uri = lay(tmp_path, {"rows.csv": b"x,y\n" + b"1,\n" * 50 + b"1.5,a\n"})
    with pytest.raises(InvalidDataError, match="unless it is stated: dtypes"):
        profile_files(uri)
    profile = profile_files(f"{uri}#dtype=number:x&dtype=text:y")[1]
    assert [column.nulls for column in profile.columns] == [0, 50]


def test_quoted_line_breaks_are_read_at_any_size(tmp_path):
    rows = [b"id,note", *(b'%d,"first line %s\nsecond line"' % (n, b"x" * 60) for n in range(13_000))]
    long = b'13000,"' + b"line\n" * (1 << 20) + b'"'
    uri = lay(tmp_path, {"rows.csv": b"\n".join([*rows, long]) + b"\n"})
    profile = profile_files(uri)[1]
    assert (profile.rows, profile.column("note").maximum) == (13_001, 5 << 20)


def test_header_alone_in_the_first_block_tells_no_types(tmp_path):
    uri = lay(tmp_path, {"rows.csv": b"x,c\n1," + b"a" * (3 << 20) + b"\n2,b\n"})
    assert read_window(Window(uri=uri)).schema.types == [pa.int64(), pa.string()]


def test_other_encoding_is_named_with_the_option(tmp_path):
    with pytest.raises(InvalidDataError, match=r"no UTF-8 csv: .*; state its encoding"):
        rows_of(tmp_path, "a,b\n1,é\n".encode("latin-1"))


def test_last_line_without_a_break_is_named_with_the_option(tmp_path):
    with pytest.raises(InvalidDataError, match="final_newline: false"):
        rows_of(tmp_path, b"a,b\n1,x")
    with pytest.raises(InvalidDataError, match="within a quoted value"):
        rows_of(tmp_path, b'a,b\n1,"x', "final_newline=false")
