"""Value skew: which columns' statistics moved, by how much, and how sure that is.

A column is skewed when the lower confidence bound of its effect exceeds its threshold **and** its test
survives Benjamini-Hochberg over all tests of the window. Without any change at most ``alpha`` of the
windows have a flagged column, whatever their size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from airflow_mlops.core.data.column import Kind
from airflow_mlops.core.data.distance import (
    Effect,
    jensen_shannon,
    kolmogorov_smirnov,
    population_stability,
    share_rise,
    total_variation,
)
from airflow_mlops.core.data.skew_policy import SkewPolicy
from airflow_mlops.core.outcome import Finding, Outcome, Severity, Verdict
from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from airflow_mlops.core.data.column import Column
    from airflow_mlops.core.data.profile import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewTest(Record):
    """One test of one column.

    :param adjusted_p: p-value after Benjamini-Hochberg.
    :param sentence: what a person needs to know.
    """

    column: str
    effect: Effect
    threshold: float
    adjusted_p: float
    skewed: bool
    sentence: str
    details: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewReport(Record):
    """All tests of a window, strongest first, and the verdict they give."""

    verdict: Verdict
    tests: tuple[SkewTest, ...]
    reference_rows: int
    current_rows: int
    not_compared: tuple[str, ...] = ()


def compare_profiles(reference: Profile, current: Profile, policy: SkewPolicy | None = None) -> SkewReport:
    """Test every column both profiles can be compared on."""
    policy = policy or SkewPolicy()
    found: list[tuple[str, Effect, float, dict[str, float]]] = []
    skipped = []
    for column in current.columns:
        before = reference.column(column.name)
        if column.name in policy.ignore:
            continue
        if before is None or not _comparable(before, column):
            skipped.append(column.name)
            continue
        tests = _tests(before, column, reference.rows, current.rows, policy)
        found.extend((column.name, *test) for test in tests)
    ranked = _rank(found, policy)
    return SkewReport(
        verdict=_verdict(ranked, skipped),
        tests=ranked,
        reference_rows=reference.rows,
        current_rows=current.rows,
        not_compared=tuple(skipped),
    )


def _comparable(before: Column, now: Column) -> bool:
    """Say whether values can be compared cell by cell; all-null columns differ in their null share only."""
    if not before.present or not now.present or Kind.UNSUPPORTED in (before.kind, now.kind):
        return before.kind is now.kind
    same_edges = bool(before.edges) and before.edges == now.edges
    return same_edges or (
        before.categories is not None and set(before.categories) == set(now.categories or ())
    )


def _tests(
    before: Column, now: Column, rows_before: int, rows_now: int, policy: SkewPolicy
) -> list[tuple[Effect, float, dict[str, float]]]:
    tests: list[tuple[Effect, float, dict[str, float]]] = []
    if rows_before and rows_now:
        nulls = share_rise(
            (before.nulls, rows_before), (now.nulls, rows_now), alpha=policy.alpha, name="null_share"
        )
        tests.append((nulls, policy.null_share, {}))
    if not before.present or not now.present:
        return tests
    if before.edges:
        p, q = np.asarray(before.counts, float), np.asarray(now.counts, float)
        tests.append((kolmogorov_smirnov(p, q, alpha=policy.alpha), policy.ks, _details(p, q)))
    elif before.categories is not None:
        names = list(before.categories)
        p = np.asarray([*(before.categories[n] for n in names), before.other], float)
        q = np.asarray([*((now.categories or {})[n] for n in names), now.other], float)
        tests.append((total_variation(p, q, alpha=policy.alpha), policy.total_variation, _details(p, q)))
        unknown = share_rise(
            (before.other, before.present),
            (now.other, now.present),
            alpha=policy.alpha,
            name="new_categories",
        )
        tests.append((unknown, policy.new_categories, {}))
    return tests


def _details(p: np.ndarray, q: np.ndarray) -> dict[str, float]:
    return {"jensen_shannon": jensen_shannon(p, q), "psi": population_stability(p, q)}


def _rank(
    found: list[tuple[str, Effect, float, dict[str, float]]], policy: SkewPolicy
) -> tuple[SkewTest, ...]:
    adjusted = stats.false_discovery_control([effect.p_value for _, effect, _, _ in found]) if found else []
    tests = [
        SkewTest(
            column=column,
            effect=effect,
            threshold=threshold,
            adjusted_p=float(p),
            skewed=bool(p <= policy.alpha and effect.lower > threshold),
            sentence=_sentence(column, effect, threshold),
            details=details,
        )
        for (column, effect, threshold, details), p in zip(found, adjusted, strict=True)
    ]
    return tuple(sorted(tests, key=lambda t: (not t.skewed, t.threshold - t.effect.lower)))


def _sentence(column: str, effect: Effect, threshold: float) -> str:
    what = effect.name.replace("_", " ")
    return f"{column}: {what} moved by {effect.value:.3f} (surely {effect.lower:.3f}), allowed {threshold:g}"


def _verdict(tests: tuple[SkewTest, ...], skipped: list[str]) -> Verdict:
    findings = [
        Finding(
            check=test.effect.name,
            subject=test.column,
            outcome=Outcome.FAIL if test.skewed else Outcome.PASS,
            severity=Severity.WARNING,
            reason=test.sentence,
            observed=test.effect.value,
            allowed=test.threshold,
        )
        for test in tests
    ]
    findings += [
        Finding(
            check="comparable",
            subject=name,
            outcome=Outcome.WARN,
            severity=Severity.WARNING,
            reason=f"{name}: not in the reference, or of another kind there: not compared",
        )
        for name in skipped
    ]
    return Verdict.of("skew", findings)
