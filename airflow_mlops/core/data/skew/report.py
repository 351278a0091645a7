"""SkewReport: the tests of a window, the distributions behind them, and the verdict that follows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.data.profile.column import Kind
from airflow_mlops.core.data.profile.profile import missing_findings
from airflow_mlops.core.data.profile.shown import shown_value
from airflow_mlops.core.data.profile.sketch import hash_text
from airflow_mlops.core.data.skew.bins import counts_between, edges_of
from airflow_mlops.core.data.skew.policy import NEW_CATEGORIES, Role
from airflow_mlops.core.data.skew.uncompared import (
    blind_finding,
    half_compared,
    skipped_finding,
    warning_of,
)
from airflow_mlops.core.did_you_mean import did_you_mean
from airflow_mlops.core.record import Record
from airflow_mlops.core.verdict import Finding, Outcome, Severity, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.data.profile.column import Column
    from airflow_mlops.core.data.profile.profile import Profile
    from airflow_mlops.core.data.skew.policy import SkewPolicy

_NEW_CATEGORIES_NAMED = 3
"""New categories that a sentence names."""
_MAX_BINS = 64
_MAX_CATEGORIES = 20
OTHER_VALUES = "all others"


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectSize(Record):
    """Effect size of one test, with its confidence bounds.

    :param value: as measured: a distance between two distributions, or the rise of a share.
    :param corrected: the value less its median under no change, at least 0 for a distance.
    :param lower: lower confidence bound; of a rise it is below 0 where the share may have fallen. ``upper``
        is the upper confidence bound.
    :param p_value: probability of a value this large or larger if nothing changed.
    """

    name: str
    value: float
    corrected: float
    lower: float
    upper: float
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewTest(Record):
    """One test of one column.

    :param source: origin of the threshold: ``default``, ``configured``, ``calibrated on 12 blocks``.
    :param adjusted_p: p-value adjusted by Benjamini and Hochberg (1995) over all tests of the window.
    :param sentence: the result in one sentence.
    :param doubt: why a test that found nothing is no pass; empty if it is one.
    :param details: other distances of the same column; they decide nothing.
    """

    column: str
    effect: EffectSize
    threshold: float
    adjusted_p: float
    skewed: bool
    sentence: str
    source: str = "default"
    doubt: str = ""
    role: Role = Role.FEATURE
    details: dict[str, float] = field(default_factory=dict)

    @property
    def answer(self) -> str:
        """Answer of the test: ``skewed``, ``quiet`` or ``inconclusive``."""
        if self.skewed:
            return "skewed"
        return str(Outcome.INCONCLUSIVE) if self.doubt else "quiet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution(Record):
    """Both distributions of a column for a plot, in at most 64 bins.

    :param edges: bin edges of a numeric column, one fewer than bins; datetimes: epoch seconds.
    :param names: categories, most frequent first, the last ``all others``; empty for a numeric column.
    :param reference: shares of the values that are not missing; ``current`` likewise.
    """

    column: str
    kind: Kind
    edges: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    reference: tuple[float, ...] = ()
    current: tuple[float, ...] = ()
    reference_null_share: float = 0.0
    current_null_share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance(Record):
    """Permutation importance: the drop of the AUC when a column's held-out values are shuffled."""

    column: str
    auc_drop: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MultivariateResult(Record):
    """Domain classifier: how well a model predicts from all columns which window a row is from.

    :param auc: out-of-fold area under the ROC curve, 0.5 where the windows do not differ.
    :param lower: lower confidence bound of the AUC.
    :param p_value: of a permutation test on the held-out rows' window labels.
    :param threshold: largest AUC that is allowed.
    :param reference_rows: rows sampled from the reference; ``current_rows`` likewise.
    :param columns: columns by permutation importance, strongest first.
    """

    auc: float
    lower: float
    p_value: float
    threshold: float
    reference_rows: int
    current_rows: int
    skewed: bool
    sentence: str
    columns: tuple[Importance, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewReport(Record):
    """All tests of a window, strongest first, and the verdict that follows from them.

    :param tests: skewed ones first, then by the ratio of lower bound to threshold.
    :param not_compared: columns that do not have the same bins in both windows, or whose values mostly have
        none and are not sampled.
    :param identifiers: text columns in which nearly every value occurs once: only their nulls are compared.
    :param distributions: of the strongest columns, in the order of the tests.
    :param distributions_left_out: number of columns whose distributions are not kept.
    :param notes: remarks on thresholds and sample sizes.
    """

    verdict: Verdict
    tests: tuple[SkewTest, ...]
    reference_rows: int
    current_rows: int
    not_compared: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    distributions: tuple[Distribution, ...] = ()
    distributions_left_out: int = 0
    notes: tuple[str, ...] = ()
    multivariate: MultivariateResult | None = None

    @property
    def skewed_columns(self) -> tuple[str, ...]:
        """Columns with a test that found skew, strongest first."""
        return tuple(dict.fromkeys(test.column for test in self.tests if test.skewed))


def effect_sentence(effect: EffectSize, threshold: float, before: Column, now: Column) -> str:
    """Return the result of a test as one sentence."""
    what = effect.name.replace("_", " ")
    moved = f"{what} moved by {effect.value:.3f} (at least {effect.lower:.3f}), allowed {threshold:.3g}"
    if effect.name != NEW_CATEGORIES or effect.lower <= 0:
        return f"{before.name}: {moved}"
    new = _new_ranges(before, now) if now.edges else _new_names(before, now)
    return f"{before.name}: {moved}" + (f"; new: {', '.join(new)}" if new else "")


def identifier_sentence(name: str) -> str:
    """Say that a column holds identifiers or free text."""
    return f"{name}: nearly every value occurs once (identifier or free text): only its nulls are compared"


def _new_names(before: Column, now: Column) -> list[str]:
    """Name the most frequent values that the reference does not have, as far as that is certain."""
    listed = before.named.keys() | (before.categories or {}).keys()
    most = before.heavy_hitters_error / max(1, before.present) * now.present
    beyond = {name: count for name, count in now.named.items() if name not in listed}
    frequent = [name for name, count in beyond.items() if count > most]
    new = frequent or [name for name in beyond if _is_absent(before, name)]
    return [repr(name) for name in new[:_NEW_CATEGORIES_NAMED]]


def _is_absent(column: Column, name: str) -> bool:
    """Say whether a value without a bin would be in the column's sample if it occurred, and is not."""
    if not (column.samples_values and column.value_hash):
        return False
    key = hash_text(name, column.value_hash)
    return key not in column.value_sample and (column.samples_all or key < max(column.value_sample))


def _new_ranges(before: Column, now: Column) -> list[str]:
    """Name the values below and above those of the reference, or say that they are between them."""
    low, high, least, most = before.minimum, before.maximum, now.minimum, now.maximum
    found = []
    if low is not None and least is not None and least < low:
        found.append(f"values from {shown_value(least, now.kind)} to below {shown_value(low, now.kind)}")
    if high is not None and most is not None and most > high:
        found.append(f"values above {shown_value(high, now.kind)} to {shown_value(most, now.kind)}")
    if now.infinite and not before.infinite:
        found.append("infinity")
    return found or ["values between those of the reference"]


def skew_verdict(
    tests: Sequence[SkewTest],
    skipped: Sequence[str],
    blind: Sequence[str],
    policy: SkewPolicy,
    profiles: tuple[Profile, Profile],
) -> Verdict:
    """Return the verdict on all tests, columns not compared, and names the policy got wrong.

    :param blind: columns whose values mostly have no bin and are not sampled.
    """
    reference, current = profiles
    findings = [_test_finding(test) for test in tests] or [_nothing_compared()]
    findings += [skipped_finding(name, reference, current) for name in skipped]
    passed = {*skipped, *policy.ignore, *(profile.partition_column for profile in profiles)}
    findings += half_compared(reference, current, passed)
    findings += [blind_finding(name, *profiles) for name in blind]
    findings += [*missing_findings(reference, "reference"), *missing_findings(current, "window")]
    findings += _policy_findings(policy, {**reference.by_name, **current.by_name})
    return Verdict.of("skew", findings)


def multivariate_finding(result: MultivariateResult) -> Finding:
    """Return the finding of the domain classifier."""
    return Finding(
        check="multivariate",
        subject="all columns",
        outcome=Outcome.FAIL if result.skewed else Outcome.PASS,
        severity=Severity.WARNING,
        reason=result.sentence,
        observed=result.auc,
        allowed=result.threshold,
    )


def distribution(reference: Profile, current: Profile, name: str) -> Distribution | None:
    """Return the shares per bin of a column, ``None`` unless both profiles have it."""
    before, now = reference.column(name), current.column(name)
    if before is None or now is None:
        return None
    numbers = any(column.edges and column.present for column in (before, now))
    edges, names, counts = _numeric(before, now) if numbers else _categorical(before, now)
    shares = [tuple(count / max(1, sum(side)) for count in side) for side in counts]
    return Distribution(
        column=name,
        kind=before.kind if before.present else now.kind,
        edges=edges,
        names=names,
        reference=shares[0],
        current=shares[1],
        reference_null_share=before.null_share(reference.rows),
        current_null_share=now.null_share(current.rows),
    )


def _test_finding(test: SkewTest) -> Finding:
    quiet = Outcome.INCONCLUSIVE if test.doubt else Outcome.PASS
    return Finding(
        check=test.effect.name,
        subject=test.column,
        outcome=Outcome.FAIL if test.skewed else quiet,
        severity=Severity.WARNING,
        reason=test.doubt if test.doubt and not test.skewed else test.sentence,
        observed=test.effect.value,
        allowed=test.threshold,
    )


def _nothing_compared() -> Finding:
    return Finding(
        check="comparable",
        subject="all columns",
        outcome=Outcome.INCONCLUSIVE,
        reason="no column could be compared: the windows share none with values in the same bins",
    )


def _policy_findings(policy: SkewPolicy, known: dict[str, Column]) -> list[Finding]:
    """Return findings on columns that no window has, and on distances that a column cannot have.

    A limit that applies to nothing is ``INCONCLUSIVE``, not a pass; a missing column to ignore is harmless.
    """
    wanted = {**dict.fromkeys(policy.ignore, Outcome.WARN)}
    wanted |= dict.fromkeys((*policy.columns, *policy.labels, *policy.predictions), Outcome.INCONCLUSIVE)
    findings = [
        warning_of(
            "policy", name, outcome, f"{name}: named by the policy, in no window{did_you_mean(name, known)}"
        )
        for name, outcome in wanted.items()
        if name not in known
    ]
    for name, limits in policy.columns.items():
        column = known.get(name)
        if limits.distance and limits.distance.needs_order and column is not None and column.categories:
            reason = f"{name}: distance {limits.distance} needs numbers; judged by {policy.category} instead"
            findings.append(warning_of("policy", name, Outcome.INCONCLUSIVE, reason))
    return findings


_BinnedShares = tuple[tuple[float, ...], tuple[str, ...], tuple[list[float], list[float]]]
"""Bin edges, category names, and the counts of both samples."""


def _numeric(before: Column, now: Column) -> _BinnedShares:
    """Join neighbouring bins, each with an equal share of both windows, until few enough are left."""
    edges = edges_of([before, now])
    sides = np.stack([counts_between(column, edges) for column in (before, now)])
    share = (sides / np.maximum(1.0, sides.sum(axis=1, keepdims=True))).sum(axis=0)
    if len(share) > _MAX_BINS:
        place = np.floor((np.cumsum(share) - share / 2) / share.sum() * _MAX_BINS).clip(max=_MAX_BINS - 1)
        apart = place[1:] != place[:-1]
        first = np.append(0, np.flatnonzero(apart) + 1)
        edges, sides = edges[apart], np.add.reduceat(sides, first, axis=1)
    one, other = sides.tolist()
    return tuple(edges.tolist()), (), (one, other)


def _categorical(before: Column, now: Column) -> _BinnedShares:
    sides = (before.named, now.named)
    totals = [max(1, column.present) for column in (before, now)]
    share = {
        name: max(side.get(name, 0) / total for side, total in zip(sides, totals, strict=True))
        for name in {**sides[0], **sides[1]}
    }
    names = sorted(share, key=lambda name: (-share[name], name))[:_MAX_CATEGORIES]
    kept = [[float(side.get(name, 0)) for name in names] for side in sides]
    rest = [column.present - sum(side) for column, side in zip((before, now), kept, strict=True)]
    if any(rest):
        return (), (*names, OTHER_VALUES), ([*kept[0], rest[0]], [*kept[1], rest[1]])
    return (), tuple(names), (kept[0], kept[1])
