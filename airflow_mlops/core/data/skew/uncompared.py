"""What a comparison of two windows does not see: columns, or their values, that are not compared, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.core.data.profile.column import Kind
from airflow_mlops.core.data.profile.families import (
    STORED_OTHERWISE,
    TypeChange,
    families_of,
    type_change,
)
from airflow_mlops.core.verdict import Finding, Outcome, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mlops.core.data.profile.column import Column
    from airflow_mlops.core.data.profile.profile import Profile


def skipped_finding(name: str, reference: Profile, current: Profile) -> Finding:
    """Return that a column is not compared: it came, it went, or has other kinds or bins."""
    before, now = reference.column(name), current.column(name)
    if now is None:
        why = "in the reference, not in this window"
    elif before is None:
        why = "in this window, not in the reference"
    elif before.kind is not now.kind:
        why = f"{now.kind} in this window, {before.kind} in the reference"
    else:
        why = "the reference has other bins"
    return warning_of("comparable", name, Outcome.WARN, f"{name}: {why}: not compared")


def half_compared(reference: Profile, current: Profile, passed: set[str | None]) -> Iterator[Finding]:
    """Tell of columns that are compared in part, or as another type.

    :param passed: columns that are told of already, or are to be ignored.
    """
    yield from _type_findings(reference, current, passed)
    yield from _valueless_findings(reference, current, passed)


def _type_findings(reference: Profile, current: Profile, passed: set[str | None]) -> Iterator[Finding]:
    """Tell of columns that are compared although their type is another one; a schema's rule says the same."""
    for now in current.columns:
        before = reference.column(now.name)
        if before is None or now.name in passed or not (before.present and now.present):
            continue
        change = type_change(families_of(before), now)
        if change is not TypeChange.SAME:
            told = STORED_OTHERWISE if change is TypeChange.STORED else ""
            kinds = f"{_typed(now)} in this window, {_typed(before)} in the reference{told}"
            yield warning_of("type", now.name, Outcome.WARN, f"{now.name}: {kinds}")


def _valueless_findings(reference: Profile, current: Profile, passed: set[str | None]) -> Iterator[Finding]:
    """Tell of columns of which only missing values are compared: what else changed would not be seen."""
    for now in current.columns:
        before = reference.column(now.name)
        if before is None or now.name in passed or not now.present:
            continue
        why = "" if before.present else "the reference has no value of it"
        if before.present and now.kind is Kind.UNSUPPORTED:
            why = f"values of type {now.arrow_type} are not compared"
        if why:
            reason = f"{now.name}: not comparable: {why}, only missing ones are"
            yield warning_of("comparable", now.name, Outcome.WARN, reason)


def _typed(column: Column) -> str:
    return f"{column.kind} ({column.arrow_type})"


def blind_finding(name: str, reference: Profile, current: Profile) -> Finding:
    """Return that a change of most values of a column would not be seen."""
    columns = [profile.by_name[name] for profile in (reference, current)]
    hashes = {column.value_hash for column in columns if column.value_sample}
    why = "the profiles are of different engines" if len(hashes) > 1 else "a profile has no sample of them"
    if all(column.names_all or column.samples_values for column in columns) and len(hashes) < 2:
        rows = min(column.present for column in columns)
        why = f"{rows} values in the smaller window are too few"
    reason = f"{name}: not comparable: most values are too rare to be counted each, and {why}"
    return warning_of("comparable", name, Outcome.INCONCLUSIVE, reason)


def warning_of(check: str, subject: str, outcome: Outcome, reason: str) -> Finding:
    """Return a finding that stops nothing."""
    return Finding(check=check, subject=subject, outcome=outcome, severity=Severity.WARNING, reason=reason)
