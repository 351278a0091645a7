"""Signatures are those of Great Expectations itself, and knowing them does not import it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_mlops.backends.rules import gx_signatures
from airflow_mlops.backends.rules.gx_signatures import gx_signature
from airflow_mlops.backends.rules.schema_file import parse_schema
from airflow_mlops.core.errors import InvalidConfigError

PACKAGE = Path(importlib.util.find_spec("great_expectations").origin).parent
INDEX = json.loads((PACKAGE / "expectations/core/schemas/index.json").read_text(encoding="utf-8"))
RULE_KEYS = {"description", "id", "library_metadata", "meta", "notes", "rendered_content", "severity"}
CONDITION = "row_condition:any condition_parser:text"
ROWS = f"column:name! mostly:share {CONDITION}"
STRICT = "strict_min:flag strict_max:flag"
REPRESENTATIVE = {
    "expect_column_kl_divergence_to_be_less_than": f"column:name! {CONDITION} partition_object:mapping "
    "threshold:number internal_weight_holdout:share tail_weight_holdout:share bucketize_data:flag "
    "min_value:bound max_value:bound",
    "expect_column_pair_values_a_to_be_greater_than_b": "column_A:name! column_B:name! mostly:share "
    f"ignore_row_if:text or_equal:flag {CONDITION}",
    "expect_column_quantile_values_to_be_between": f"column:name! {CONDITION} quantile_ranges:mapping! "
    "allow_relative_error:any",
    "expect_column_to_exist": "column:name! column_index:number",
    "expect_column_type_to_be": "column:name! type_:text!",
    "expect_column_value_z_scores_to_be_less_than": f"{ROWS} threshold:number! double_sided:flag!",
    "expect_column_values_to_be_between": f"{ROWS} min_value:bound max_value:bound {STRICT}",
    "expect_column_values_to_be_in_set": f"{ROWS} value_set:list!",
    "expect_column_values_to_be_in_type_list": f"{ROWS} type_list:list",
    "expect_column_values_to_be_increasing": f"{ROWS} strictly:flag",
    "expect_column_values_to_match_json_schema": f"{ROWS} json_schema:mapping!",
    "expect_column_values_to_match_regex": f"{ROWS} regex:text",
    "expect_multicolumn_sum_to_equal": "column_list:list! mostly:share ignore_row_if:text sum_total:number! "
    f"{CONDITION}",
    "expect_table_columns_to_match_set": "column_set:list exact_match:flag",
    "expect_table_row_count_to_be_between": f"min_value:number max_value:number {STRICT} {CONDITION}",
    "unexpected_rows_expectation": "unexpected_rows_query:text!",
}
COMMON = "batch_id:text catch_exceptions:flag result_format:any windows:list"


def told(expectation):
    signature = gx_signature(expectation)
    return {f"{n}:{a.kind.name.lower()}{'!' * a.required}" for n, a in signature.items()}


@pytest.mark.parametrize("expectation", REPRESENTATIVE)
def test_kinds_and_required_arguments_are_read_from_the_schema(expectation):
    assert told(expectation) == {*f"{REPRESENTATIVE[expectation]} {COMMON}".split()}


def test_arguments_are_those_that_great_expectations_itself_takes():
    from great_expectations.expectations.registry import (
        get_expectation_impl,
        list_registered_expectation_implementations,
    )

    core = [get_expectation_impl(name) for name in list_registered_expectation_implementations()]
    core = [found for found in core if found.__module__.startswith("great_expectations.")]
    theirs = {
        found.expectation_type: {n: f.required for n, f in found.__fields__.items() if n not in RULE_KEYS}
        for found in core
    }
    ours = {name: {n: a.required for n, a in gx_signature(name).items()} for name in theirs}
    assert theirs.keys() >= INDEX["expectations"].keys()
    assert ours == theirs


@pytest.mark.parametrize("expectation", INDEX["documented_absent"])
def test_expectation_without_a_schema_has_a_signature_all_the_same(expectation):
    assert {"column", "mostly", "row_condition"} <= gx_signature(expectation).keys()


@pytest.mark.parametrize("expectation", ["expect_my_own", "expect_columnvalues_to_be_null", "../index"])
def test_expectation_that_great_expectations_does_not_ship_has_no_signature(expectation):
    assert gx_signature(expectation) is None


def test_reading_a_schema_does_not_import_great_expectations():
    program = f"""
import json, sys
from airflow_mlops.backends.rules.gx_signatures import gx_signature
from airflow_mlops.backends.rules.schema_file import parse_schema
assert all(gx_signature(name) for name in {sorted(INDEX["expectations"])})
rule = {{"type": "expect_column_to_exist", "kwargs": {{"column": "x"}}}}
parse_schema(json.dumps({{"name": "s", "expectations": [rule]}}), "s.json")
print("great_expectations" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Another release of Great Expectations: returns the folder of its schemas."""
    folder = tmp_path / "expectations" / "core" / "schemas"
    folder.mkdir(parents=True)
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    caches = (gx_signatures.gx_signature, gx_signatures._schema_files)
    for cached in caches:
        cached.cache_clear()
    yield folder
    for cached in caches:
        cached.cache_clear()


def test_expectation_added_by_a_later_release_is_checked_at_once(installed):
    index = {"expectations": {"expect_column_to_shine": {"schema_file": "Shine.json"}}}
    bright = {"anyOf": [{"$ref": "#/definitions/Bright"}, {"type": "object"}]}
    schema = {
        "properties": {"column": {"type": "string"}, "bright": bright, "meta": {"type": "object"}},
        "definitions": {"Bright": {"type": "boolean"}},
        "required": ["column"],
    }
    (installed / "index.json").write_text(json.dumps(index))
    (installed / "Shine.json").write_text(json.dumps(schema))
    rule = {"type": "expect_column_to_shine", "kwargs": {"column": "x", "brigth": True}}
    with pytest.raises(
        InvalidConfigError, match="unknown argument 'brigth'; one of: column, bright; did you"
    ):
        parse_schema(json.dumps({"name": "s", "expectations": [rule]}), "s.json")
    assert told("expect_column_to_shine") == {"column:name!", "bright:flag"}


def test_arguments_are_left_to_great_expectations_when_its_schemas_are_not_found(installed):
    assert gx_signature("expect_column_values_to_be_between") is None
    assert gx_signature("expect_column_values_to_be_json_parseable") is None
