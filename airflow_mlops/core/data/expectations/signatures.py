"""Catalogue: arguments of Great Expectations' own expectations; a typo is found without loading it.

An expectation that is not listed may be the user's own: it is left to Great Expectations to know it or not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.did_you_mean import did_you_mean
from airflow_mlops.core.errors import InvalidConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

COMMON = "batch_id:any catch_exceptions:flag result_format:any windows:any"
CONDITION = "row_condition:any condition_parser:text"
COLUMN = f"column:name! {CONDITION}"
ROWS = f"{COLUMN} mostly:share"
PAIR = f"column_A:name! column_B:name! mostly:share ignore_row_if:text {CONDITION}"
MANY = f"column_list:list! mostly:share ignore_row_if:text {CONDITION}"
STRICT = "strict_min:flag strict_max:flag"
RANGE = f"min_value:bound max_value:bound {STRICT}"
SPAN = f"min_value:number max_value:number {STRICT}"
ARGUMENTS = {
    "expect_column_distinct_values_to_be_in_set": f"{COLUMN} value_set:list!",
    "expect_column_distinct_values_to_contain_set": f"{COLUMN} value_set:list!",
    "expect_column_distinct_values_to_equal_set": f"{COLUMN} value_set:list!",
    "expect_column_kl_divergence_to_be_less_than": f"{COLUMN} partition_object:mapping threshold:number "
    "internal_weight_holdout:number tail_weight_holdout:number bucketize_data:flag "
    "min_value:bound max_value:bound",
    "expect_column_max_to_be_between": f"{COLUMN} {RANGE}",
    "expect_column_mean_to_be_between": f"{COLUMN} {RANGE}",
    "expect_column_median_to_be_between": f"{COLUMN} {RANGE}",
    "expect_column_min_to_be_between": f"{COLUMN} {RANGE}",
    "expect_column_most_common_value_to_be_in_set": f"{COLUMN} value_set:list! ties_okay:flag",
    "expect_column_pair_values_a_to_be_greater_than_b": f"{PAIR} or_equal:flag",
    "expect_column_pair_values_to_be_equal": PAIR,
    "expect_column_pair_values_to_be_in_set": f"{PAIR} value_pairs_set:list!",
    "expect_column_proportion_of_non_null_values_to_be_between": f"{COLUMN} {SPAN}",
    "expect_column_proportion_of_unique_values_to_be_between": f"{COLUMN} {SPAN}",
    "expect_column_quantile_values_to_be_between": f"{COLUMN} quantile_ranges:mapping! "
    "allow_relative_error:any",
    "expect_column_stdev_to_be_between": f"{COLUMN} {SPAN}",
    "expect_column_sum_to_be_between": f"{COLUMN} {RANGE}",
    "expect_column_to_exist": "column:name! column_index:number",
    "expect_column_type_to_be": "column:name! type_:text!",
    "expect_column_unique_value_count_to_be_between": f"{COLUMN} {SPAN}",
    "expect_column_value_lengths_to_be_between": f"{ROWS} {SPAN}",
    "expect_column_value_lengths_to_equal": f"{ROWS} value:number!",
    "expect_column_value_z_scores_to_be_less_than": f"{ROWS} threshold:number! double_sided:flag!",
    "expect_column_values_to_be_between": f"{ROWS} {RANGE}",
    "expect_column_values_to_be_dateutil_parseable": ROWS,
    "expect_column_values_to_be_decreasing": f"{ROWS} strictly:flag",
    "expect_column_values_to_be_in_set": f"{ROWS} value_set:list!",
    "expect_column_values_to_be_in_type_list": f"{ROWS} type_list:list!",
    "expect_column_values_to_be_increasing": f"{ROWS} strictly:flag",
    "expect_column_values_to_be_json_parseable": ROWS,
    "expect_column_values_to_be_null": ROWS,
    "expect_column_values_to_be_of_type": f"{ROWS} type_:text!",
    "expect_column_values_to_be_unique": ROWS,
    "expect_column_values_to_match_json_schema": f"{ROWS} json_schema:mapping!",
    "expect_column_values_to_match_like_pattern": f"{ROWS} like_pattern:text! escape:text",
    "expect_column_values_to_match_like_pattern_list": f"{ROWS} like_pattern_list:list! match_on:text "
    "escape:text",
    "expect_column_values_to_match_regex": f"{ROWS} regex:text",
    "expect_column_values_to_match_regex_list": f"{ROWS} regex_list:list! match_on:text",
    "expect_column_values_to_match_strftime_format": f"{ROWS} strftime_format:text!",
    "expect_column_values_to_not_be_in_set": f"{ROWS} value_set:list!",
    "expect_column_values_to_not_be_null": ROWS,
    "expect_column_values_to_not_be_outliers": f"{ROWS} method:text multiplier:number",
    "expect_column_values_to_not_match_like_pattern": f"{ROWS} like_pattern:text! escape:text",
    "expect_column_values_to_not_match_like_pattern_list": f"{ROWS} like_pattern_list:list! escape:text",
    "expect_column_values_to_not_match_regex": f"{ROWS} regex:text!",
    "expect_column_values_to_not_match_regex_list": f"{ROWS} regex_list:list!",
    "expect_compound_columns_to_be_unique": MANY,
    "expect_multicolumn_sum_to_equal": f"{MANY} sum_total:number!",
    "expect_multicolumn_values_to_be_equal": MANY,
    "expect_query_results_to_match_comparison": "base_query:text! comparison_data_source_name:text! "
    "comparison_query:text! mostly:share",
    "expect_select_column_values_to_be_unique_within_record": MANY,
    "expect_table_column_count_to_be_between": "min_value:bound max_value:bound",
    "expect_table_column_count_to_equal": "value:number!",
    "expect_table_columns_to_match_ordered_list": "column_list:list",
    "expect_table_columns_to_match_set": "column_set:list exact_match:flag",
    "expect_table_row_count_to_be_between": f"{SPAN} {CONDITION}",
    "expect_table_row_count_to_equal": f"value:number! {CONDITION}",
    "expect_table_row_count_to_equal_other_table": f"other_table_name:text! {CONDITION}",
    "unexpected_rows_expectation": "unexpected_rows_query:text!",
}
DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([T ]\d{1,2}:\d{2}.*)?")


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float | str) and float(value) == float(value)
    except (ValueError, OverflowError):
        return False


KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "any": ("anything", lambda _: True),
    "flag": ("true or false", lambda value: isinstance(value, bool)),
    "list": ("a list", lambda value: isinstance(value, list)),
    "mapping": ("a mapping", lambda value: isinstance(value, dict)),
    "name": ("a column's name, which may be empty", lambda value: isinstance(value, str)),
    "number": ("a number", _is_number),
    "share": ("a number from 0 to 1", lambda value: _is_number(value) and 0 <= float(value) <= 1),
    "text": ("text", lambda value: isinstance(value, str) and bool(value)),
    "bound": (
        "a number or a date, 2013-01-31 or 2013-01-31T00:00:00",
        lambda value: _is_number(value) or (isinstance(value, str) and bool(DATE.fullmatch(value))),
    ),
}


def arguments_of(expectation: str) -> dict[str, tuple[str, bool]]:
    """Return kind and necessity of each argument of an expectation that is listed."""
    parts = (part.split(":") for part in f"{ARGUMENTS[expectation]} {COMMON}".split())
    return {name: (kind.rstrip("!"), kind.endswith("!")) for name, kind in parts}


def require_arguments(expectation: str, kwargs: Mapping[str, Any], where: str) -> None:
    """Refuse arguments that a listed expectation does not take; others are not judged.

    :param where: file and place, for the message.
    :raises InvalidConfigError: names the argument, its value and what is allowed.
    """
    if expectation not in ARGUMENTS:
        return
    known = arguments_of(expectation)
    for name, value in kwargs.items():
        if name not in known:
            msg = f"{where}: unknown argument {name!r}; one of: {', '.join(known)}{did_you_mean(name, known)}"
            raise InvalidConfigError(msg)
        allowed, fits = KINDS[known[name][0]]
        if value is not None and not _is_parameter(value) and not fits(value):
            msg = f"{where}: {name} is {value!r}, allowed: {allowed}"
            raise InvalidConfigError(msg)
    missing = [name for name, (_, needed) in known.items() if needed and kwargs.get(name) is None]
    if missing:
        msg = f"{where}: argument {missing[0]!r} is missing"
        raise InvalidConfigError(msg)


def _is_parameter(value: Any) -> bool:
    """Say whether Great Expectations fills the value in when it runs."""
    return isinstance(value, dict) and "$PARAMETER" in value
