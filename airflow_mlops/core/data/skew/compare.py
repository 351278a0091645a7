"""Value skew: which columns' statistics moved, by how much, and how sure that is.

A column is skewed when the lower confidence bound of its effect exceeds its threshold **and** its test
survives Benjamini-Hochberg over all tests of the window. The bounds hold together: with a chance of at
least ``1 - alpha`` no column of a window is flagged that did not move by more than its threshold, whatever
the number of rows and columns.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from airflow_mlops.core.data.skew.bins import align_columns
from airflow_mlops.core.data.skew.distributions import distribution
from airflow_mlops.core.data.skew.findings import effect_sentence, multivariate_finding, skew_verdict
from airflow_mlops.core.data.skew.measure import SampleCounts, measure_all, other_distances
from airflow_mlops.core.data.skew.policy import Distance, SkewPolicy
from airflow_mlops.core.data.skew.report import EffectSize, SkewReport, SkewTest
from airflow_mlops.core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_mlops.core.data.profile.profile import Profile
    from airflow_mlops.core.data.skew.bins import AlignedCounts
    from airflow_mlops.core.data.skew.calibration import SkewCalibration
    from airflow_mlops.core.data.skew.measure import MeasuredEffects
    from airflow_mlops.core.data.skew.report import Distribution, MultivariateResult

DISTRIBUTIONS_KEPT = 100
_DISTANCES = frozenset(map(str, Distance))
_DEFAULTS = SkewPolicy()


def compare_profiles(
    reference: Profile,
    current: Profile,
    policy: SkewPolicy | None = None,
    calibration: SkewCalibration | None = None,
) -> SkewReport:
    """Test every column both profiles can be compared on.

    :param calibration: thresholds from quiet history, for columns without their own in the policy.
    """
    policy = policy or _DEFAULTS
    table, skipped = align_columns((reference, current), policy.ignore)
    windows = [SampleCounts.of(table, np.arange(2) == i, 1 / policy.rows_per_entity) for i in (0, 1)]
    measured = measure_all(table, windows[0], windows[1], policy)
    details = other_distances(table, windows[0], windows[1])
    tests = []
    for column, effect, p in _results(table, measured):
        threshold, source = _threshold(column, effect.name, policy, calibration)
        test = SkewTest(
            column=column,
            effect=effect,
            threshold=threshold,
            source=source,
            role=policy.role(column),
            adjusted_p=p,
            skewed=p <= policy.alpha and effect.lower > threshold,
            sentence=effect_sentence(effect, threshold, reference.by_name[column], current.by_name[column]),
            details=details.get(column, {}) if effect.name in _DISTANCES else {},
        )
        tests.append(test)
    ranked = tuple(sorted(tests, key=_rank))
    kept, left_out = _distributions(ranked, reference, current)
    return SkewReport(
        verdict=skew_verdict(ranked, skipped, policy, reference, current),
        tests=ranked,
        reference_rows=reference.rows,
        current_rows=current.rows,
        not_compared=skipped,
        distributions=kept,
        distributions_left_out=left_out,
        notes=_notes(policy, calibration),
    )


def with_multivariate(report: SkewReport, result: MultivariateResult) -> SkewReport:
    """Add what all columns together say to the report and its verdict."""
    verdict = Verdict.of(report.verdict.gate, (*report.verdict.findings, multivariate_finding(result)))
    return replace(report, verdict=verdict, multivariate=result)


def _results(table: AlignedCounts, measured: MeasuredEffects) -> Iterator[tuple[str, EffectSize, float]]:
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
        yield table.names[column], effect, p


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
        notes.append(f"not in all blocks of history with the same cells, not calibrated: {names}")
    if policy.rows_per_entity > 1:
        notes.append(f"{policy.rows_per_entity:g} rows per entity: the samples count as that much smaller")
    return tuple(notes)
