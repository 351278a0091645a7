from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops.backends.registry.ledger_order import accepted
from airflow_mlops.backends.registry.protocol import LedgerEntry


def appended(*follows):
    """Entries numbered from 1, each with the number it follows."""
    return [
        LedgerEntry(
            model="m", from_version=None, to_version=str(number), reason="", number=number, after=after
        )
        for number, after in enumerate(follows, 1)
    ]


def numbers(entries):
    return [entry.number for entry in entries]


def test_of_two_that_follow_the_same_entry_the_first_counts():
    assert numbers(accepted(appended(0, 1, 1, 2, 2, 4))) == [1, 2, 4, 6]


def test_entry_that_follows_one_that_did_not_count_does_not_count():
    assert numbers(accepted(appended(0, 0, 2))) == [1]


def test_entry_that_follows_a_removed_one_counts():
    assert numbers(accepted(appended(0, 1, 2)[::2])) == [1, 3]


@given(st.lists(st.integers(0, 10**6), max_size=12))
def test_each_entry_has_at_most_one_successor_and_later_entries_change_no_decision(chosen):
    follows = [choice % number for number, choice in enumerate(chosen, 1)]  # only what was there already
    entries = appended(*follows)
    kept = accepted(entries)
    assert len({entry.after for entry in kept}) == len(kept)
    for length in range(len(entries)):
        assert accepted(entries[:length]) == [entry for entry in kept if entry.number <= length]
