"""Arguments are checked by name and kind before any data is read."""

from __future__ import annotations

import pytest

from airflow_mlops.core.data.expectations.signatures import Argument, ArgumentKind, require_arguments
from airflow_mlops.core.errors import InvalidConfigError

SIGNATURE = {
    "column": Argument(ArgumentKind.NAME, required=True),
    "min_value": Argument(ArgumentKind.BOUND),
    "mostly": Argument(ArgumentKind.SHARE),
}


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        (
            {"column": "x", "mim_value": 1},
            "s.yaml: unknown argument 'mim_value'; one of: column, min_value, mostly; did you mean "
            "'min_value'?",
        ),
        ({"column": "x", "mostly": 95}, "s.yaml: mostly is 95, allowed: a number from 0 to 1"),
        ({"column": 5}, "s.yaml: column is 5, allowed: a column's name, which may be empty"),
        ({"min_value": 1}, "s.yaml: argument 'column' is missing"),
        ({"column": None}, "s.yaml: argument 'column' is missing"),
    ],
)
def test_argument_that_does_not_fit_is_named_with_what_is_allowed(kwargs, said):
    with pytest.raises(InvalidConfigError) as refused:
        require_arguments(kwargs, SIGNATURE, "s.yaml")
    assert str(refused.value) == said


@pytest.mark.parametrize(
    "kwargs",
    [
        {"column": ""},
        {"column": "x", "min_value": None, "mostly": "0.5"},
        {"column": "x", "min_value": {"$PARAMETER": "lowest"}},
    ],
)
def test_absent_values_numbers_as_text_and_suite_parameters_are_accepted(kwargs):
    assert require_arguments(kwargs, SIGNATURE, "s.yaml") is None


@pytest.mark.parametrize(
    ("kind", "accepted", "refused"),
    [
        (ArgumentKind.ANY, [None, 1, "a", []], []),
        (ArgumentKind.FLAG, [True, False], [0, "true"]),
        (ArgumentKind.LIST, [[], ["a"]], ["a", {"a": 1}]),
        (ArgumentKind.MAPPING, [{}, {"a": 1}], [[], "a"]),
        (ArgumentKind.NAME, ["", "x"], [5, ["x"]]),
        (ArgumentKind.NUMBER, [1, 2.5, "3"], ["a", [1], float("nan"), 10**400]),
        (ArgumentKind.SHARE, [0, 0.5, 1, "0.5"], [-0.1, 95, "a"]),
        (ArgumentKind.TEXT, ["a"], ["", 5]),
        (ArgumentKind.BOUND, [1, "2013-01-31", "2013-01-31T00:00:00"], ["low", [1], "31.1.2013"]),
    ],
)
def test_kind_accepts_its_values_only(kind, accepted, refused):
    assert [kind.accepts(value) for value in accepted] == [True] * len(accepted)
    assert [kind.accepts(value) for value in refused] == [False] * len(refused)
