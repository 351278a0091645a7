"""Value skew: which columns' statistics changed, by how much, and with what confidence.

A column is skewed when the lower confidence bound of its effect exceeds its threshold **and** its p-value
is rejected by the procedure of Benjamini and Hochberg (1995) over all tests of the window. The bounds are
simultaneous (Bonferroni): with probability at least ``1 - alpha`` no column of a window is flagged that did
not change by more than its threshold, whatever the number of rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from airflow_mlops.core.data.profile.bins import Floats, Ints
from airflow_mlops.core.data.skew.bins import SampleCounts, align_columns
from airflow_mlops.core.data.skew.bounds import Effects, measure, rises
from airflow_mlops.core.data.skew.distance import jensen_shannon, population_stability
from airflow_mlops.core.data.skew.policy import NEW_CATEGORIES, NULL_SHARE, Distance, SkewPolicy
from airflow_mlops.core.data.skew.report import (
    EffectSize,
    SkewReport,
    SkewTest,
    distribution,
    effect_sentence,
    identifier_sentence,
    multivariate_finding,
    skew_verdict,
)
from airflow_mlops.core.data.skew.tail_effects import (
    comparability,
    new_values,
    sampled_columns,
    with_tails,
)
from airflow_mlops.core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_mlops.core.data.profile.profile import Profile
    from airflow_mlops.core.data.skew.bins import AlignedCounts
    from airflow_mlops.core.data.skew.distance import Flags
    from airflow_mlops.core.data.skew.policy import SkewCalibration
    from airflow_mlops.core.data.skew.report import Distribution, MultivariateResult

DISTRIBUTIONS_KEPT = 100
_DISTANCES = frozenset(map(str, Distance))
_DEFAULTS = SkewPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredEffects:
    """Results of all tests, ``(n_tests,)`` each.

    :param columns: index of the column; ``tests``: name of the test.
    """

    columns: Ints
    tests: tuple[str, ...]
    effects: Effects


def compare_profiles(
    reference: Profile,
    current: Profile,
    policy: SkewPolicy | None = None,
    calibration: SkewCalibration | None = None,
) -> SkewReport:
    """Test every column that has the same bins in both profiles.

    :param calibration: thresholds from history, for columns without their own in the policy.
    """
    policy = policy or _DEFAULTS
    aligned, skipped = align_columns((reference, current), policy.ignore)
    samples = [SampleCounts.of(aligned, np.arange(2) == i, 1 / policy.rows_per_entity) for i in (0, 1)]
    measured = measure_all(aligned, samples[0], samples[1], policy)
    details = _details(aligned, samples[0], samples[1])
    tests = []
    for column, effect, p in _results(aligned, measured):
        threshold, source = _threshold(column, effect.name, policy, calibration)
        test = SkewTest(
            column=column,
            effect=effect,
            threshold=threshold,
            source=source,
            role=policy.role(column),
            adjusted_p=p,
            skewed=p <= policy.alpha and effect.lower > threshold,
            doubt=_doubt(column, effect.name, policy, calibration),
            sentence=effect_sentence(effect, threshold, reference.by_name[column], current.by_name[column]),
            details=details.get(column, {}) if effect.name in _DISTANCES else {},
        )
        tests.append(test)
    told = comparability(aligned, samples[0], samples[1])
    found = {test.column for test in tests if test.skewed}
    identifiers, blind = (
        tuple(name for name in _names_of(aligned, flags) if name not in found)
        for flags in (told.identifier, told.blind)
    )
    ranked = tuple(sorted(_telling(tests, {*identifiers, *blind}), key=_rank))
    kept, left_out = _distributions(ranked, reference, current)
    return SkewReport(
        verdict=skew_verdict(ranked, skipped, blind, policy, (reference, current)),
        tests=ranked,
        reference_rows=reference.rows,
        current_rows=current.rows,
        not_compared=(*skipped, *blind),
        identifiers=identifiers,
        distributions=kept,
        distributions_left_out=left_out,
        notes=(*_notes(policy, calibration), *map(identifier_sentence, identifiers)),
    )


def _names_of(aligned: AlignedCounts, chosen: Flags) -> tuple[str, ...]:
    return tuple(name for name, use in zip(aligned.names, chosen, strict=True) if use)


def _telling(tests: Iterable[SkewTest], untold: set[str]) -> list[SkewTest]:
    """Leave out quiet tests of values of which nothing can be told; they are no sign that nothing changed."""
    return [t for t in tests if t.skewed or t.effect.name == NULL_SHARE or t.column not in untold]


def with_multivariate(report: SkewReport, result: MultivariateResult) -> SkewReport:
    """Add the result of the domain classifier to the report and its verdict."""
    verdict = Verdict.of(report.verdict.gate, (*report.verdict.findings, multivariate_finding(result)))
    return replace(report, verdict=verdict, multivariate=result)


def measure_all(
    aligned: AlignedCounts, reference: SampleCounts, current: SampleCounts, policy: SkewPolicy
) -> MeasuredEffects:
    """Run every test: the distance of each column, the rise of its null share and of new categories.

    ``policy.alpha`` is divided among the tests (Bonferroni), so that the bounds hold simultaneously.
    """
    main = _filled(aligned, reference, current)
    named = main & aligned.listed
    rows = np.full(len(aligned.names), bool(reference.rows and current.rows))
    alpha = policy.alpha / max(1, int(main.sum() + named.sum() + rows.sum()))
    parts = _distance_effects(aligned, reference, current, main, (_distance_of_each(aligned, policy), alpha))
    if rows.any():
        totals = (np.full(len(rows), reference.rows), np.full(len(rows), current.rows))
        parts.append(_rise_effects(NULL_SHARE, rows, (reference.nulls, current.nulls), totals, alpha))
    if named.any():
        parts.append(_part(named, NEW_CATEGORIES, new_values(aligned, reference, current, named, alpha)))
    return _join(parts)


def _distance_of_each(aligned: AlignedCounts, policy: SkewPolicy) -> list[Distance]:
    return [
        policy.distance(name, numeric=bool(numeric))
        for name, numeric in zip(aligned.names, aligned.numeric, strict=True)
    ]


def _filled(aligned: AlignedCounts, reference: SampleCounts, current: SampleCounts) -> Flags:
    """Say which columns have values in bins in both samples."""
    both = (aligned.add(reference.counts) > 0) & (aligned.add(current.counts) > 0)
    return both & (aligned.numeric | aligned.categorical)


def _distance_effects(
    aligned: AlignedCounts,
    reference: SampleCounts,
    current: SampleCounts,
    main: Flags,
    how: tuple[list[Distance], float],
) -> list[MeasuredEffects]:
    distances, alpha = how
    parts = []
    levels = np.where(sampled_columns(aligned, reference, current), alpha / 2, alpha)
    for distance in Distance:
        chosen = main & np.asarray([d is distance for d in distances], bool)
        if chosen.any():
            coarse = distance is not Distance.KS
            bins = aligned.pair(reference.counts, current.counts, chosen, coarse=coarse)
            effects = measure(distance, bins, levels[chosen])
            samples = (aligned, reference, current)
            parts.append(_part(chosen, distance, with_tails(distance, effects, chosen, samples, levels)))
    return parts


def _rise_effects(
    name: str, chosen: Flags, hits: tuple[Floats, Floats], totals: tuple[Floats, Floats], alpha: float
) -> MeasuredEffects:
    effects = rises((hits[0][chosen], hits[1][chosen]), (totals[0][chosen], totals[1][chosen]), alpha)
    return _part(chosen, name, effects)


def _part(chosen: Flags, name: str, effects: Effects) -> MeasuredEffects:
    columns = np.flatnonzero(chosen)
    return MeasuredEffects(columns=columns, tests=(str(name),) * len(columns), effects=effects)


def _join(parts: list[MeasuredEffects]) -> MeasuredEffects:
    if not parts:
        nothing = np.zeros(0)
        empty = Effects(nothing, nothing, nothing, nothing, nothing)
        return MeasuredEffects(columns=np.zeros(0, np.int64), tests=(), effects=empty)
    names = ("value", "corrected", "lower", "upper", "p_value")
    return MeasuredEffects(
        columns=np.concatenate([part.columns for part in parts]),
        tests=tuple(name for part in parts for name in part.tests),
        effects=Effects(*(np.concatenate([getattr(p.effects, n) for p in parts]) for n in names)),
    )


def _details(
    aligned: AlignedCounts, reference: SampleCounts, current: SampleCounts
) -> dict[str, dict[str, float]]:
    """Return two widely known distances, which decide nothing: column → name → value."""
    chosen = _filled(aligned, reference, current)
    if not chosen.any():
        return {}
    bins = aligned.pair(reference.counts, current.counts, chosen, coarse=True)
    known = zip(jensen_shannon(bins).tolist(), population_stability(bins).tolist(), strict=True)
    names = [name for name, use in zip(aligned.names, chosen, strict=True) if use]
    return {name: {"jensen_shannon": js, "psi": psi} for name, (js, psi) in zip(names, known, strict=True)}


def _results(aligned: AlignedCounts, measured: MeasuredEffects) -> Iterator[tuple[str, EffectSize, float]]:
    """Yield column, effect and adjusted p-value of each test."""
    effects = measured.effects
    if not measured.tests:
        return
    arrays = (effects.value, effects.corrected, effects.lower, effects.upper, effects.p_value)
    adjusted = stats.false_discovery_control(effects.p_value).tolist()
    numbers = zip(*(array.tolist() for array in arrays), strict=True)
    for column, name, (value, corrected, lower, upper, p_value), p in zip(
        measured.columns.tolist(), measured.tests, numbers, adjusted, strict=True
    ):
        effect = EffectSize(
            name=name, value=value, corrected=corrected, lower=lower, upper=upper, p_value=p_value
        )
        yield aligned.names[column], effect, p


def _threshold(
    column: str, test: str, policy: SkewPolicy, calibration: SkewCalibration | None
) -> tuple[float, str]:
    """Return the threshold of a test and where it comes from."""
    own = policy.configured(column, test)
    if own is not None:
        return own, "configured"
    usual = calibration.threshold(column, test) if calibration else None
    if calibration and usual is not None:
        return usual, f"calibrated on {calibration.blocks} blocks"
    general = policy.general(test)
    return general, "default" if general == _DEFAULTS.general(test) else "configured"


def _doubt(column: str, test: str, policy: SkewPolicy, calibration: SkewCalibration | None) -> str:
    if calibration is None or policy.configured(column, test) is not None:
        return ""
    return calibration.doubt(column, test)


def _rank(test: SkewTest) -> tuple[bool, float, float]:
    """Order tests: skewed first, then by the bound in units of the threshold, then by the effect."""
    return not test.skewed, -test.effect.lower / max(test.threshold, 1e-9), -test.effect.value


def _distributions(
    tests: Sequence[SkewTest], reference: Profile, current: Profile
) -> tuple[tuple[Distribution, ...], int]:
    """Return the distributions of the strongest columns, and how many more there are."""
    columns = list(dict.fromkeys(test.column for test in tests))
    found = [distribution(reference, current, name) for name in columns[:DISTRIBUTIONS_KEPT]]
    return tuple(d for d in found if d is not None), max(0, len(columns) - DISTRIBUTIONS_KEPT)


def _notes(policy: SkewPolicy, calibration: SkewCalibration | None) -> tuple[str, ...]:
    notes = [] if calibration is None else [calibration.sentence]
    if calibration and calibration.not_calibrated:
        names = ", ".join(calibration.not_calibrated[:20])
        notes.append(f"not in all blocks of history with the same bins, not calibrated: {names}")
    if calibration and calibration.not_exchangeable:
        odd = [f"{name}: {why}" for name, why in [*calibration.not_exchangeable.items()][:20]]
        notes.append(f"blocks are not exchangeable, left out of the calibration: {'; '.join(odd)}")
    if calibration and calibration.left_out:
        notes.append(
            f"block {', '.join(calibration.left_out)} is unlike all others: left out of the calibration"
        )
    if calibration and calibration.apart:
        notes.append(
            f"one block of {', '.join(calibration.apart)} is unlike the others: calibrated by itself, or the "
            "thresholds of all columns would be wider"
        )
    if policy.rows_per_entity > 1:
        notes.append(f"{policy.rows_per_entity:g} rows per entity: sample sizes are divided by as much")
    return tuple(notes)
