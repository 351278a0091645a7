"""What is handed from task to task survives the databases and the wire that Airflow uses."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from decimal import Decimal

import msgspec
import pytest
from builders import plan, state_at, watched

from airflow_mlops.core.data.expectations.rule import Rule
from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.state import RolloutState
from airflow_mlops.core.verdict import Finding, Outcome


@dataclass(frozen=True)
class Measured(Record):
    """Numbers as records hold them."""

    value: float
    named: dict[str, float]


def through_airflow(data):
    """What a task gets: Postgres keeps numbers as decimals, and Airflow hands them over as msgpack."""

    def number(text):
        exact = Decimal(text)
        return int(exact) if exact == exact.to_integral_value() else float(exact)

    text = json.dumps(data, allow_nan=False)
    stored = json.loads(text, parse_float=number)
    return msgspec.msgpack.decode(msgspec.msgpack.encode(stored))


@pytest.mark.parametrize("value", [0.5, 1e15, 2.0**62, 2.0**63, -(2.0**63), 1e25, 1e300, -1e300, math.inf])
def test_any_number_is_handed_over(value):
    record = Measured(value=value, named={"a": value})
    assert Measured.from_json(through_airflow(record.to_json())) == record


def test_nan_is_handed_over():
    read = Measured.from_json(through_airflow(Measured(value=math.nan, named={}).to_json()))
    assert math.isnan(read.value)


@pytest.mark.parametrize("bound", [math.inf, -math.inf])
def test_infinity_where_any_value_is_allowed_stays_one(bound):
    rule = Rule(type="expect_column_values_to_be_in_set", kwargs={"column": "x", "value_set": [1.0, bound]})
    assert rule.to_document()["kwargs"]["value_set"] == [1.0, bound]


def test_finding_about_a_huge_value_is_handed_over():
    found = Finding(check="max", subject="id", outcome=Outcome.FAIL, reason="r", observed=2**70, allowed=1e30)
    read = Finding.from_json(through_airflow(found.to_json()))
    assert (read.observed, read.allowed) == (str(2**70), "1e+30")


def test_state_of_a_long_healthy_step_is_handed_over():
    """Its evidence grows without end: after an hour of a freeze it was past 1e25, and no task could start."""
    patient = plan(bake_seconds=1e6, deadline_seconds=1e7, burst=1, window_seconds=10.0)
    state = watched(patient, state_at(50), windows=400, seconds=10.0, canary_requests=500, canary_errors=0)
    assert state.rate.below_e_value == 1e15
    assert RolloutState.from_json(through_airflow(state.to_json())) == state
