"""Numbers of csv files with marks between thousands, and whatever keeps a column from being numbers: told."""

from __future__ import annotations

import pytest
from windows import lay

from airflow_mlops.backends.profiling.files.arrow import profile_files
from airflow_mlops.backends.profiling.files.csv import file
from airflow_mlops.backends.profiling.files.dataset import read_window
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.errors import InvalidDataError


def read(tmp_path, data, options=""):
    """Return the values of the column x, and what is told of it."""
    uri = lay(tmp_path, {"rows.csv": data.encode()}) + (f"#{options}" if options else "")
    notes = [note for note in profile_files(uri)[1].notes if not note.startswith("csv:")]
    return read_window(Window(uri=uri)).column("x").to_pylist(), notes


STATED = {
    "points": ("x;n\n1.234;1\n234;2\n;3\n", "thousands=.", [1234, 234, None]),
    "points_and_fractions": (
        "x;n\n1.234,56;1\n-12,5;2\n1.234.567;3\n",
        "thousands=.",
        [1234.56, -12.5, 1234567.0],
    ),
    "commas": ('x,n\n"1,234",1\n2,2\n', "thousands=,", [1234, 2]),
    "commas_and_fractions": ('x,n\n"1,234.5",1\n.5,2\n', "thousands=,", [1234.5, 0.5]),
    "spaces": ("x;n\n1 234,5;1\n2,25;2\n", "thousands=space", [1234.5, 2.25]),
    "narrow_spaces": ("x;n\n1\u202f234;1\n2;2\n", "thousands=%E2%80%AF", [1234, 2]),
    "apostrophes": ("x;n\n1'234.50;1\n2;2\n", "thousands='", [1234.5, 2.0]),
    "lakhs": ('x,n\n"1,23,456",1\n2,2\n', "thousands=,", [123456, 2]),
    "stated_number": ("x;n\n1.234;1\n2;2\n", "thousands=.&dtype=number:x", [1234.0, 2.0]),
    "stated_text": ("x;n\n1.234;1\n2;2\n", "thousands=.&dtype=text:x", ["1.234", "2"]),
    "plain": ("x;n\n1234;1\n2;2\n", "thousands=.", [1234, 2]),
    "zeros": ("x;n\n007;1\n1.234;2\n", "thousands=.", ["007", "1.234"]),
    "groups_of_other_sizes": ("x;n\n1.23;1\n1.234;2\n", "thousands=.", ["1.23", "1.234"]),
}


@pytest.mark.parametrize(("data", "options", "values"), STATED.values(), ids=STATED)
def test_stated_mark_between_thousands_is_read(tmp_path, data, options, values):
    assert read(tmp_path, data, options)[0] == values


def test_decimal_comma_of_one_column_is_found_beside_points_between_thousands(tmp_path):
    uri = lay(tmp_path, {"rows.csv": b"y;x\n1,5;1.234\n22,75;2.345\n"})
    assert read_window(Window(uri=uri)).to_pydict() == {"y": [1.5, 22.75], "x": ["1.234", "2.345"]}


@pytest.mark.parametrize("later", ["12.5", "1.23", "abc"])
def test_later_value_that_is_no_such_number_is_named(tmp_path, monkeypatch, later):
    monkeypatch.setattr(file, "BLOCK_BYTES", 64)
    rows = "x;n\n" + "1.234;1\n" * 50 + f"{later};1\n"
    uri = lay(tmp_path, {"rows.csv": rows.encode()})
    with pytest.raises(
        InvalidDataError, match=rf"rows.csv: column 'x' holds '{later}', no int64 with thousands '.'"
    ):
        read_window(Window(uri=f"{uri}#thousands=."))


def test_first_mark_may_come_late(tmp_path, monkeypatch):
    monkeypatch.setattr(file, "BLOCK_BYTES", 64)
    values, _ = read(tmp_path, "x;n\n" + "234;1\n" * 50 + "1.234;1\n", "thousands=.")
    assert values == [234] * 50 + [1234]


TEXT = ": read as text; state {}, or its type (dtypes)"
TOLD = {
    "thousands": (
        "x;n\n1.234,5;1\n2,5;2\n",
        "x: 1 of the first 2 values have marks between thousands ('1.234,5')" + TEXT.format("thousands"),
    ),
    "quoted_thousands": (
        'x,n\n"1,234",1\n2,2\n',
        "x: 1 of the first 2 values have marks between thousands ('1,234')" + TEXT.format("thousands"),
    ),
    "decimal": (
        'x,n\n"1,5",1\n2,2\n',
        "x: 1 of the first 2 values have a decimal mark ('1,5')" + TEXT.format("decimal"),
    ),
    "percent": (
        "x,n\n1%,1\n2.5 %,2\n",
        "x: 2 of the first 2 values are numbers with a sign beside them ('1%'): "
        "read as text; write plain numbers, or state its type (dtypes)",
    ),
    "negative_in_brackets": (
        "x,n\n(1.50),1\n2.5,2\n",
        "x: 1 of the first 2 values are numbers with a sign beside them ('(1.50)'): "
        "read as text; write plain numbers, or state its type (dtypes)",
    ),
    "words": (
        "x,n\n1,1\n-,2\n3,3\n?,4\n5,5\n",
        "x: 3 of the first 5 values are numbers, others are not ('-', '?')" + TEXT.format("na_values"),
    ),
    "fractions": (
        "x;n\n1.234;1\n234;2\n12.000;3\n",
        "x: 2 of the first 3 values have three digits after the point ('1.234'), as between thousands: "
        "read as fractions; state decimal, or thousands",
    ),
}


@pytest.mark.parametrize(("data", "told"), TOLD.values(), ids=TOLD)
def test_column_that_may_be_numbers_is_told(tmp_path, data, told):
    assert read(tmp_path, data)[1] == [told]


QUIET = {
    "names": ("x,n\na,1\nb,2\n", ""),
    "few_numbers": ("x,n\na,1\nb,2\n3,3\n", ""),
    "text_by_statement": ("x,n\n1,1\n-,2\n3,3\n", "dtype=text:x"),
    "dates": ("x,n\n02.03.2026,1\n03.03.2026,2\n", ""),
    "fractions_below_one": ("x;n\n1.234;1\n0.234;2\n", ""),
    "two_digits": ("x;n\n1.23;1\n2.345;2\n", ""),
    "fractions_by_statement": ("x;n\n1.234;1\n2.345;2\n", "decimal=."),
    "missing_words": ("x,n\n1,1\nNA,2\n3,3\n", ""),
}


@pytest.mark.parametrize(("data", "options"), QUIET.values(), ids=QUIET)
def test_nothing_is_told_of_what_is_plain(tmp_path, data, options):
    assert read(tmp_path, data, options)[1] == []


def test_names_with_spaces_around_them_are_told_and_kept(tmp_path):
    assert read(tmp_path, "x, b,c \n1, 2,u\n") == ([1], ["spaces around the names of columns: ' b', 'c '"])


@pytest.mark.parametrize(
    ("encoding", "stated", "told"),
    [
        ("utf-8", "latin-1", ["its bytes are UTF-8: 'é' is read as 'Ã©', by the stated encoding iso8859-1"]),
        ("utf-8", "cp1252", ["its bytes are UTF-8: 'é' is read as 'Ã©', by the stated encoding cp1252"]),
        ("latin-1", "latin-1", []),
        ("utf-8", "utf-8", []),
        ("utf-16", "utf-16", []),
    ],
)
def test_utf8_read_by_another_stated_encoding_is_told(tmp_path, encoding, stated, told):
    uri = lay(tmp_path, {"rows.csv": "x,c\n1,é\n2,b\n".encode(encoding)})
    assert list(profile_files(f"{uri}#encoding={stated}")[1].notes[1:]) == told


ADDRESSES = "192.168.100.200;1\n10.0.0.1;2\n"


@pytest.mark.parametrize("rows", [ADDRESSES, "192.168.100.200;1\n192.168.10.201;2\n"])
def test_addresses_are_text_beside_points_between_thousands(tmp_path, rows):
    values, notes = read(tmp_path, f"x;n\n{rows}", "thousands=.")
    assert values == [line.partition(";")[0] for line in rows.splitlines()]
    assert notes == [
        "x: the first 2 values look like IP addresses ('192.168.100.200'), not numbers with thousands '.' "
        "and decimal ',': read as text; state its type (dtypes)"
    ]
    assert read(tmp_path, f"x;n\n{rows}") == (values, [])


def test_values_that_all_have_four_groups_are_told(tmp_path):
    values, notes = read(tmp_path, "x;n\n104.711.234.567;1\n200.300.400.999;2\n", "thousands=.")
    assert values == [104711234567, 200300400999]
    assert notes == [
        "x: the first 2 values all have 4 groups of digits ('104.711.234.567'), as identifiers may: read as "
        "numbers; state its type (dtypes)"
    ]
    assert read(tmp_path, "x;n\n104.711.234.567;1\n999;2\n", "thousands=.")[1] == []


UNFIT = {
    "fractions": ("1.2345;1\n1.234,50;2\n0,5;3\n", "decimal=,&thousands=.", "1.2345"),
    "points": ("1.5;1\n12.34;2\n2;3\n", "decimal=,&thousands=.", "1.5"),
    "decimal alone": ("1.5;1\n12.34;2\n2;3\n", "decimal=,", "1.5"),
}


@pytest.mark.parametrize(("rows", "options", "odd"), UNFIT.values(), ids=UNFIT)
def test_where_marks_are_stated_the_value_that_does_not_fit_is_named(tmp_path, rows, options, odd):
    (note,) = read(tmp_path, f"x;n\n{rows}", options)[1]
    assert f"do not fit {'thousands ' if 'thousands' in options else 'decimal '}" in note
    assert f"('{odd}'): read as text; mend them, or state its type (dtypes)" in note


def test_other_groups_beside_stated_marks_are_named(tmp_path):
    (note,) = read(tmp_path, "x;n\n1.234,5;1\n10.0.0.1;2\n", "decimal=,&thousands=.")[1]
    assert "others are not ('10.0.0.1')" in note
