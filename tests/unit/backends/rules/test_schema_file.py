from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mlops.backends.rules.schema_file import evolve_text, parse_schema, read_schema
from airflow_mlops.backends.text_file import write_atomically
from airflow_mlops.core.data.expectations.rule import Rule
from airflow_mlops.core.data.schema.diff import apply_changes, diff
from airflow_mlops.core.data.schema.schema import Schema
from airflow_mlops.core.errors import InvalidConfigError

TEXT = """\
# Flights, agreed with the owners of the data
name: flights   # do not rename
expectations:
  # the table
  - type: expect_table_row_count_to_be_between
    kwargs: {min_value: 10, max_value: 1000}  # per month
  - type: expect_column_values_to_be_in_set
    kwargs:
      column: origin
      value_set: ["NO", JFK]  # Norway is quoted
      mostly: 0.9   # three typos a day
    severity: warning
    notes: see the contract
  - type: expect_column_to_exist
    kwargs:
      column: distance
"""


def changes(old, **limits):
    """What it takes to give the set of origins other arguments."""
    kwargs = {**old.expectations[1].kwargs, **limits}
    rules = (old.expectations[0], replace(old.expectations[1], kwargs=kwargs), *old.expectations[2:])
    return diff(old, replace(old, expectations=rules)).changes


def test_comments_and_untouched_lines_stay_when_a_rule_changes():
    old = parse_schema(TEXT, "s.yaml")
    text, kept = evolve_text(TEXT, "s.yaml", changes(old, mostly=0.8))
    assert kept
    assert text == TEXT.replace("mostly: 0.9 ", "mostly: 0.8 ")


def test_values_that_yaml_would_take_for_something_else_are_quoted():
    old = parse_schema(TEXT, "s.yaml")
    wanted = ["NO", "on", "1e3", "2013-01-01", "null", "~", "012", ""]
    text, kept = evolve_text(TEXT, "s.yaml", changes(old, value_set=wanted))
    assert kept
    assert parse_schema(text, "s.yaml").expectations[1].kwargs["value_set"] == wanted
    assert "# Flights, agreed" in text


def test_rules_are_added_beside_their_column_and_removed_ones_leave_the_rest():
    old = parse_schema(TEXT, "s.yaml")
    new = Rule(type="expect_column_values_to_not_be_null", kwargs={"column": "origin"}, meta={"why": "seen"})
    wanted = replace(old, expectations=(*old.expectations[:2], new))
    text, kept = evolve_text(TEXT, "s.yaml", diff(old, wanted).changes)
    assert kept
    assert parse_schema(text, "s.yaml") == wanted
    assert "# the table" in text
    assert "# three typos a day" in text


LONG = """\
name: s
expectations:
- type: expect_column_values_to_be_in_set
  kwargs: {column: code, value_set: [LIST]}
  meta: {why:   'REASON'}

# the distance
- type: expect_column_values_to_be_between
  kwargs: {column: distance,   min_value: 0}
- type: expect_column_to_exist
  kwargs: {column: distance}   # last
meta: {owner:   me}
""".replace("LIST", ", ".join(f"code{i}" for i in range(30))).replace("REASON", "long " * 40)


def test_untouched_rules_stay_as_they_are_written_to_the_letter():
    old = parse_schema(LONG, "s.yaml")
    looser = replace(old.expectations[1], kwargs={"column": "distance", "min_value": -5})
    rules = (old.expectations[0], looser, old.expectations[2])
    text, kept = evolve_text(LONG, "s.yaml", diff(old, replace(old, expectations=rules)).changes)
    assert kept
    assert text == LONG.replace("{column: distance,   min_value: 0}", "{column: distance, min_value: -5}")


def test_untouched_rules_stay_as_written_where_one_goes_and_one_comes():
    old = parse_schema(LONG, "s.yaml")
    new = Rule(type="expect_column_values_to_not_be_null", kwargs={"column": "code"})
    wanted = replace(old, expectations=(old.expectations[0], new, old.expectations[2]))
    text, kept = evolve_text(LONG, "s.yaml", diff(old, wanted).changes)
    assert kept
    assert parse_schema(text, "s.yaml") == wanted
    assert text.splitlines()[:5] == LONG.splitlines()[:5]
    assert "meta: {owner:   me}" in text


def test_nothing_accepted_changes_nothing():
    assert evolve_text(TEXT, "s.yaml", ()) == (TEXT, True)


VALUES = st.one_of(st.text(max_size=6), st.integers(), st.floats(allow_nan=False), st.booleans())


@settings(max_examples=60)
@given(
    st.lists(VALUES, min_size=1, max_size=4), st.floats(0, 1), st.sampled_from(["origin", "x y", "é", "- a"])
)
def test_edited_text_says_exactly_what_the_evolved_schema_says(values, mostly, column):
    old = parse_schema(TEXT, "s.yaml")
    new = Rule(type="expect_column_values_to_not_be_in_set", kwargs={"column": column, "value_set": values})
    found = [*changes(old, value_set=values, mostly=mostly)]
    found += diff(old, replace(old, expectations=(*old.expectations, new))).changes
    text, _ = evolve_text(TEXT, "s.yaml", found)
    rules = tuple(rule for _, rule in apply_changes(old, found))
    assert parse_schema(text, "s.yaml") == replace(old, expectations=rules)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "empty"),
        (b"\x00\x01\x02PAR1\xff\xfe", "line 1: byte 0xff is not UTF-8"),
        ("name: Größe".encode("latin-1"), "line 1: byte 0xf6 is not UTF-8"),
        (b"PAR1\x00\x00", "no YAML"),
        (b"name: s\nexpectations: [", "no YAML: line"),
    ],
)
def test_file_that_is_no_schema_is_refused_by_name(tmp_path, content, named):
    path = tmp_path / "s.yaml"
    path.write_bytes(content)
    with pytest.raises(InvalidConfigError, match=f"s.yaml: {named}"):
        read_schema(str(path))


def test_directory_and_absent_file_are_refused_by_name(tmp_path):
    for path, named in ((tmp_path, "Is a directory"), (tmp_path / "none.yaml", "No such file")):
        with pytest.raises(InvalidConfigError, match=f"{path}: {named}"):
            read_schema(str(path))


def test_byte_order_mark_is_no_mistake(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    assert read_schema(str(path)).name == "flights"


def test_file_is_replaced_whole_and_keeps_its_mode(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("old")
    path.chmod(0o640)
    write_atomically(str(path), "new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o640)
    assert [p.name for p in tmp_path.iterdir()] == ["s.yaml"]
    with pytest.raises(InvalidConfigError, match="No such file"):
        write_atomically(str(tmp_path / "absent" / "s.yaml"), "new")


def test_schema_built_in_code_is_written_and_read(tmp_path):
    path = tmp_path / "s.yaml"
    schema = Schema(name="s", expectations=(Rule(type="expect_column_to_exist", kwargs={"column": "x"}),))
    write_atomically(str(path), schema.to_yaml())
    assert read_schema(str(path)) == schema
