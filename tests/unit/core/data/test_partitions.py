from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops.core.data.partitions import (
    MAX_PARTITIONS_AT_ONCE,
    Contents,
    PartitionWait,
    complete_partitions,
    last_partitions,
    partitions_up_to,
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


KEYS = st.lists(st.text("0123456789-", min_size=1, max_size=7), max_size=20)


@given(keys=KEYS, count=st.integers(1, 30))
def test_last_n_are_the_greatest_keys_as_many_as_there_are(keys, count):
    found = last_partitions(keys, count)
    assert list(found) == sorted(set(keys))[::-1][:count][::-1]


@given(keys=KEYS, key=st.text("0123456789-", min_size=1, max_size=7), count=st.integers(1, 30))
def test_window_ends_with_its_own_key_and_holds_as_many_as_there_are(keys, key, count):
    found = partitions_up_to(key, keys, count)
    assert found[-1] == max(found) == key
    assert len(found) == min(count, 1 + len({one for one in keys if one < key}))


@pytest.mark.parametrize(("history", "asked", "wanted"), [(3, 5, 3), (4, 3, 3), (6, 5, 5), (12, 10, 10)])
def test_history_longer_than_the_dataset_is_all_of_it(history, asked, wanted):
    months = [f"2026-{number:02}" for number in range(1, 11)]
    assert list(partitions_up_to(months[asked - 1], months, history)) == months[asked - wanted : asked]


def test_partition_that_does_not_count_is_replaced_by_an_earlier_one():
    months = ["2026-01", "2026-02", "2026-03", "2026-04"]
    assert partitions_up_to("2026-04", months, 2, leaving_out={"2026-03", "2026-04"}) == (
        "2026-02",
        "2026-04",
    )


@pytest.mark.parametrize("count", [0, -1])
def test_number_of_partitions_below_one_is_refused(count):
    with pytest.raises(InvalidConfigError, match=f"number of partitions: {count}, allowed: 1 or more"):
        partitions_up_to("2026-01", [], count)
