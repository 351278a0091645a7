"""Every test of every column at once: main effect, rise of the null share, rise of unknown categories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.data.skew.bounds import Effects, measure, rises
from airflow_mlops.core.data.skew.distance import Floats, Ints, jensen_shannon, population_stability
from airflow_mlops.core.data.skew.policy import Distance

if TYPE_CHECKING:
    from airflow_mlops.core.data.skew.bins import AlignedCounts
    from airflow_mlops.core.data.skew.distance import Flags
    from airflow_mlops.core.data.skew.policy import SkewPolicy

NULL_SHARE, NEW_CATEGORIES = "null_share", "new_categories"


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleCounts:
    """Counts of one of two samples: cells ``(n_cells,)``, others and nulls ``(n_columns,)``."""

    counts: Floats
    others: Floats
    nulls: Floats
    rows: float

    @classmethod
    def of(cls, table: AlignedCounts, profiles: Flags, share: float) -> SampleCounts:
        """Add up some of the profiles; ``share`` of the rows count as independent."""
        return cls(
            counts=table.counts[profiles].sum(axis=0) * share,
            others=table.others[profiles].sum(axis=0) * share,
            nulls=table.nulls[profiles].sum(axis=0) * share,
            rows=float(table.rows[profiles].sum()) * share,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredEffects:
    """Results of all tests, ``(n_tests,)`` each.

    :param columns: index of the column; ``tests`` the name of what was tested.
    """

    columns: Ints
    tests: tuple[str, ...]
    effects: Effects


def _distance_by_column(table: AlignedCounts, policy: SkewPolicy) -> list[Distance]:
    """Return what each column is judged by."""
    return [
        policy.distance(name, numeric=bool(numeric))
        for name, numeric in zip(table.names, table.numeric, strict=True)
    ]


def measure_all(
    table: AlignedCounts, reference: SampleCounts, current: SampleCounts, policy: SkewPolicy
) -> MeasuredEffects:
    """Run every test; all their bounds together fail with a chance of at most ``policy.alpha``."""
    values = [table.add(window.counts) for window in (reference, current)]
    main = _filled(table, reference, current)
    named = main & table.listed
    rows = np.full(len(table.names), bool(reference.rows and current.rows))
    alpha = policy.alpha / max(1, int(main.sum() + named.sum() + rows.sum()))
    parts = _distances(table, reference, current, main, (_distance_by_column(table, policy), alpha))
    if rows.any():
        totals = (np.full(len(rows), reference.rows), np.full(len(rows), current.rows))
        parts.append(_rises(NULL_SHARE, rows, (reference.nulls, current.nulls), totals, alpha))
    if named.any():
        others = (reference.others, current.others)
        parts.append(_rises(NEW_CATEGORIES, named, others, (values[0], values[1]), alpha))
    return _join(parts)


def other_distances(
    table: AlignedCounts, reference: SampleCounts, current: SampleCounts
) -> dict[str, dict[str, float]]:
    """Return distances that everybody knows, for reading only: column → name → value."""
    chosen = _filled(table, reference, current)
    if not chosen.any():
        return {}
    cells = table.pair(reference.counts, current.counts, chosen)
    known = zip(jensen_shannon(cells).tolist(), population_stability(cells).tolist(), strict=True)
    names = [name for name, use in zip(table.names, chosen, strict=True) if use]
    return {name: {"jensen_shannon": js, "psi": psi} for name, (js, psi) in zip(names, known, strict=True)}


def _filled(table: AlignedCounts, reference: SampleCounts, current: SampleCounts) -> Flags:
    """Say which columns have values in cells on both sides."""
    both = (table.add(reference.counts) > 0) & (table.add(current.counts) > 0)
    return both & (table.numeric | table.categorical)


def _distances(
    table: AlignedCounts,
    reference: SampleCounts,
    current: SampleCounts,
    main: Flags,
    how: tuple[list[Distance], float],
) -> list[MeasuredEffects]:
    distances, alpha = how
    parts = []
    for distance in Distance:
        chosen = main & np.asarray([d is distance for d in distances], bool)
        if chosen.any():
            cells = table.pair(reference.counts, current.counts, chosen)
            parts.append(_part(chosen, distance, measure(distance, cells, alpha)))
    return parts


def _rises(
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
