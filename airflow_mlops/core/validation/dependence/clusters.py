"""Clusters that nobody declared: repeated rows, columns whose rows move together; entities that dominate.

Of a column that identifies something (a customer, a device), the variance of the gain's sums per value is
compared with that of independent rows: their ratio is the design effect (Kish 1965), 1 if rows of one value
have nothing in common. It is told when it is beyond chance and large enough to matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_mlops.core.validation.report import warned
from airflow_mlops.core.validation.sample import CHALLENGER
from airflow_mlops.core.validation.slices import row_gains

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_mlops.core.validation.evaluation import Evaluation
    from airflow_mlops.core.validation.metrics.base import Array, IntArray
    from airflow_mlops.core.validation.sample import Sample, Values
    from airflow_mlops.core.verdict import Finding

_MOST_OF_ONE = 0.10
_FEWEST_VALUES = 20
_LEAST_EFFECT, _LEAST_Z = 1.5, 4.0
_LEAST_REPEATED = 0.01
_BY_CHANCE, _ROUNDED = 100, 1e-6
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def cluster_findings(evaluation: Evaluation, rivals: Sequence[str]) -> list[Finding]:
    """Warn of rows that are not independent, as columns and the gains over the first rival show it."""
    sample = evaluation.sample
    if sample.entities is not None:
        return list(_dominant(sample.entities))
    if sample.queries is not None or evaluation.drawn_by_window:
        return []
    return [*_repeated(sample), *_moving_together(evaluation, rivals)]


def design_effect(values: Array, groups: IntArray) -> tuple[float, float]:
    """Return the design effect of groups and how many standard errors it is above 1.

    :param values: shape ``(n_rows,)``; ``groups``: codes from 0.
    """
    off = values - values.mean()
    size = np.bincount(groups).astype(float)
    whole, pairs = float((off**2).sum()), float((size * (size - 1)).sum())
    if whole <= 0 or pairs <= 0:
        return 1.0, 0.0
    between = float((np.bincount(groups, weights=off) ** 2).sum())
    effect = between / whole
    return effect, (effect - 1) * len(values) / float(np.sqrt(2 * pairs))


def _dominant(entities: Values) -> Iterator[Finding]:
    share = float(np.unique(entities, return_counts=True)[1].max() / len(entities))
    if share > _MOST_OF_ONE:
        reason = (
            f"one entity owns {share:.0%} of the held-back rows: the comparison is mostly about it "
            f"(above {_MOST_OF_ONE:.0%} bounds are less sure than stated)"
        )
        yield warned("clusters", "entity", reason, share, _MOST_OF_ONE)


def _repeated(sample: Sample) -> Iterator[Finding]:
    """Tell rows that are the same in every feature and the label though chance would not repeat them."""
    if not sample.columns:
        return
    codes, kinds = _whole_rows(sample)
    repeated = 1 - len(np.unique(codes)) / len(codes)
    if repeated >= _LEAST_REPEATED and kinds > _BY_CHANCE * len(codes):
        reason = (
            f"{repeated:.1%} of the held-back rows repeat another one in every feature and the label: bounds "
            "take them as independent; leave them out, or name what they share in validate.entity"
        )
        yield warned("clusters", "repeated_rows", reason, repeated, _LEAST_REPEATED)


def _whole_rows(sample: Sample) -> tuple[np.ndarray[Any, Any], float]:
    """Return a hash of each row, and how many different rows there may be.

    That is as many as the columns' values can make; without end if most values of one column are unique, or
    are not rounded.
    """
    code, kinds = np.zeros(len(sample.labels), dtype=np.uint64), 1.0
    for values in (sample.labels, *sample.columns.values()):
        if values.dtype.kind == "f":
            own = values.astype(np.float64).view(np.uint64)
        else:
            own = np.fromiter((hash(value) & 0xFFFFFFFF for value in values), np.uint64, len(values))
        code = (code ^ own) * _MULTIPLIER
        code ^= code >> np.uint64(29)
        kinds *= 1.0 if np.isinf(kinds) else _kinds(values, own)
    return code, kinds


def _kinds(values: Values, codes: np.ndarray[Any, Any]) -> float:
    """Count different values; without end where most are unique, or have more than three decimals."""
    known = values[np.isfinite(values)] * 1000 if values.dtype.kind == "f" else np.empty(0)
    if known.size and float((np.abs(known - np.round(known)) > _ROUNDED).mean()) > 0.5:
        return float("inf")
    different = len(np.unique(codes))
    return different if different <= len(codes) / 2 else float("inf")


def _moving_together(evaluation: Evaluation, rivals: Sequence[str]) -> Iterator[Finding]:
    sample = evaluation.sample
    if not sample.ids or not rivals:
        return
    _, gain, _ = row_gains(evaluation, CHALLENGER, rivals[0])
    if not np.isfinite(gain).all():
        return
    for name, values in sample.ids.items():
        groups = np.unique(values, return_inverse=True)[1]
        if not _FEWEST_VALUES <= int(groups.max()) + 1 < len(groups):
            continue
        effect, z = design_effect(gain, groups)
        if effect >= _LEAST_EFFECT and z >= _LEAST_Z:
            reason = (
                f"{name}: gains of rows with one value move together (design effect {effect:.1f}): bounds "
                f"are too narrow by a factor of {effect**0.5:.1f}; name it in validate.entity"
            )
            yield warned("clusters", name, reason, effect, _LEAST_EFFECT)
