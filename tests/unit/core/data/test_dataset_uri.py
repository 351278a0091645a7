"""How data is read is part of its URI, so that whoever reads a recorded window reads the same rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops.core.data.dataset_uri import CsvOptions, CsvType, DatasetUri, same_dataset
from airflow_mlops.core.errors import InvalidConfigError

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
CHARACTERS = st.none() | st.sampled_from(["tab", ";", "|", "#", "&", "=", "%", " "])
OPTIONS = st.builds(
    CsvOptions,
    delimiter=CHARACTERS,
    encoding=st.sampled_from([None, "latin-1", "utf-8"]),
    decimal=st.sampled_from([None, ",", "."]),
    thousands=st.sampled_from([None, "space", "'", "\u202f"]),
    quote=st.sampled_from([None, "", "'", '"']),
    na_values=st.none() | st.lists(WORDS.filter(bool), min_size=1, max_size=3).map(tuple),
    dtypes=st.dictionaries(WORDS.filter(bool), st.sampled_from([*CsvType]), max_size=3),
    final_newline=st.booleans(),
)
LOCATIONS = st.sampled_from(["/lake/flights", "s3://conn@bucket/a b", "lake#1", "/lake/k=1#x=2/a.csv"])


@given(LOCATIONS, OPTIONS, st.sampled_from(["", "3", "7926360859977349231"]))
def test_uri_is_read_as_it_was_written(location, csv, version):
    uri = DatasetUri(location=location, csv=csv, version=version)
    assert DatasetUri.parse(str(uri)) == uri
    assert CsvOptions.from_json(csv.to_json()) == csv


def test_no_words_but_the_blank_are_missing_if_the_list_is_empty():
    stated = DatasetUri(location="/lake", csv=CsvOptions(na_values=()))
    assert DatasetUri.parse(str(stated)).csv.na_values == ("",)


@pytest.mark.parametrize(
    "uri", ["/lake", "/lake#", "/lake#1", "/lake/a#b=c.csv", "/lake#table=trips&partition=day"]
)
def test_what_is_no_option_belongs_to_the_path(uri):
    assert DatasetUri.parse(uri) == DatasetUri(location=uri)


REFUSED = {
    "/lake#delimiter=%3B&decimla=,": r"unknown option 'decimla'; one of: .*did you mean 'decimal'",
    "/lake#delimiter=ab": r"csv\.delimiter: 'ab', allowed: one ASCII character",
    "/lake#delimiter=a": r"csv\.delimiter: 'a', allowed",
    "/lake#delimiter=%2C&decimal=%2C": "also decimal or quote",
    "/lake#decimal=x": r"csv\.decimal: 'x', allowed: '.' or ','",
    "/lake#thousands=x": r"csv\.thousands: 'x', allowed: ',', '\.', ' '",
    "/lake#thousands=,&decimal=,": r"csv\.thousands: ',', allowed: .* and not decimal, ','",
    "/lake#encoding=utf-9": r"csv\.encoding: 'utf-9', allowed",
    "/lake#dtype=zip": r"csv\.dtype: 'zip', allowed: <type>:<column>",
    "/lake#dtype=txt:zip": r"did you mean 'text'",
    "/lake#final_newline=no": r"csv\.final_newline: 'no', allowed: true or false",
}


@pytest.mark.parametrize(("uri", "said"), REFUSED.items())
def test_option_that_is_not_understood_is_refused_by_name(uri, said):
    with pytest.raises(InvalidConfigError, match=said):
        DatasetUri.parse(uri)


def test_dataset_is_the_same_at_every_version_but_not_in_another_dialect():
    assert same_dataset("/lake/#version=1", "/lake#version=2")
    assert not same_dataset("/lake", "/lake#delimiter=%3B")
