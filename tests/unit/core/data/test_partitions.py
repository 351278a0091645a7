from __future__ import annotations

import pytest

from airflow_mlops.core.data.partitions import (
    MAX_PARTITIONS_AT_ONCE,
    Contents,
    PartitionWait,
    complete_partitions,
)
from airflow_mlops.core.errors import InvalidConfigError

SOME, MORE, MARKED, NONE = (
    Contents(files=1, size=9),
    Contents(files=2, size=20),
    Contents(files=1, size=9, marker=True),
    Contents(),
)


def waiting(**more):
    return PartitionWait(**{"deadline": 100.0, "after": "2013-01"} | more)


@pytest.mark.parametrize(
    ("arrival", "before", "current", "arrived"),
    [
        pytest.param(waiting(), {}, {"2013-02": SOME}, None, id="seen once"),
        pytest.param(waiting(), {"2013-02": SOME}, {"2013-02": SOME}, ("2013-02",), id="the same twice"),
        pytest.param(waiting(), {"2013-02": SOME}, {"2013-02": MORE}, None, id="still growing"),
        pytest.param(waiting(), {"2013-02": NONE}, {"2013-02": NONE}, None, id="empty directory"),
        pytest.param(waiting(), {"2013-01": SOME}, {"2013-01": SOME}, None, id="known already"),
        pytest.param(
            waiting(partition="2013-01"),
            {"2013-01": SOME},
            {"2013-01": SOME},
            ("2013-01",),
            id="the named one",
        ),
        pytest.param(
            waiting(partition="2013-03"), {"2013-02": SOME}, {"2013-02": SOME}, None, id="not the named one"
        ),
        pytest.param(waiting(complete="present"), {}, {"2013-02": SOME}, ("2013-02",), id="present"),
        pytest.param(waiting(complete="present"), {}, {"2013-02": NONE}, None, id="nothing present"),
        pytest.param(waiting(complete="marker"), {}, {"2013-02": MARKED}, ("2013-02",), id="marker"),
        pytest.param(
            waiting(complete="marker"), {"2013-02": SOME}, {"2013-02": SOME}, None, id="without its marker"
        ),
        pytest.param(
            waiting(complete="marker"), {}, {"2013-02": SOME, "2013-03": MARKED}, None, id="older one first"
        ),
        pytest.param(
            waiting(complete="marker"),
            {},
            {"2013-03": MARKED, "2013-02": MARKED, "2013-04": SOME},
            ("2013-02", "2013-03"),
            id="several",
        ),
    ],
)
def test_partitions_arrive_when_they_are_complete(arrival, before, current, arrived):
    assert complete_partitions(arrival, before, current, now=0.0) == arrived


def test_nothing_at_the_deadline_is_an_answer_and_a_late_arrival_still_counts():
    assert complete_partitions(waiting(), {}, {}, now=100.0) == ()
    assert complete_partitions(waiting(complete="present"), {}, {"2013-02": SOME}, now=100.0) == ("2013-02",)


def test_backlog_is_taken_oldest_first_in_portions():
    current = {f"{number:04}": SOME for number in range(1000)}
    arrived = complete_partitions(waiting(after="", complete="present"), {}, current, now=0.0)
    assert arrived == tuple(f"{number:04}" for number in range(MAX_PARTITIONS_AT_ONCE))


def test_unknown_rule_of_completeness_is_named():
    with pytest.raises(InvalidConfigError, match=r"'stabel'; one of: marker, stable, present; .*'stable'"):
        waiting(complete="stabel")
