"""Effects of values without a bin: how much they changed, which are new, and what can be told of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.data.skew.bounds import Effects, gains, measure, rises
from airflow_mlops.core.data.skew.distance import Flags, common_bins
from airflow_mlops.core.data.skew.policy import Distance
from airflow_mlops.core.data.skew.tails import unseen

if TYPE_CHECKING:
    from airflow_mlops.core.data.profile.bins import Floats
    from airflow_mlops.core.data.skew.bins import AlignedCounts
    from airflow_mlops.core.data.skew.compare import SampleCounts
    from airflow_mlops.core.data.skew.distance import Bins

LEAST_TOLD = 0.1
"""Of a column of which a smaller share recurs, nothing can be told: identifiers, free text."""
_MOSTLY = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparability:
    """What can be told of the values of columns, ``(n_columns,)`` each.

    :param identifier: nearly every value occurs once: others in the next window are no change.
    :param blind: most values have no bin, and they are not sampled: a change of them would not be seen.
    """

    identifier: Flags
    blind: Flags


def comparability(aligned: AlignedCounts, reference: SampleCounts, current: SampleCounts) -> Comparability:
    """Say of which categorical columns nothing can be told, and why."""
    text = aligned.categorical & (aligned.add(reference.counts) > 0) & (aligned.add(current.counts) > 0)
    told = np.zeros(len(text))
    if text.any():
        told[text] = _comparable_share(aligned.pair(reference.counts, current.counts, text))
    tail = text & sampled_columns(aligned, reference, current)
    if tail.any():
        bins = aligned.tails.pair(reference.tail, current.tail, tail)
        told[tail] += _weight(aligned, reference, current)[tail] * _comparable_share(bins)
    known = aligned.tails.known
    once = unseen(aligned, reference, current).expected
    return Comparability(
        identifier=text & known & (told < LEAST_TOLD) & (once > 1 - LEAST_TOLD),
        blind=text & ~known & (told < _MOSTLY),
    )


def sampled_columns(aligned: AlignedCounts, reference: SampleCounts, current: SampleCounts) -> Flags:
    """Say in which columns values without a bin are sampled in both."""
    return (aligned.tails.add(reference.tail) > 0) & (aligned.tails.add(current.tail) > 0)


def with_tails(
    distance: Distance,
    effects: Effects,
    chosen: Flags,
    samples: tuple[AlignedCounts, SampleCounts, SampleCounts],
    alpha: Floats,
) -> Effects:
    """Return the larger effect: of the bins, or of the sampled values without one, by their share of all.

    The distance of two distributions is at least that of a part of them, times the smaller share of it: of
    total variation; of the Jensen-Shannon distance the square, of the index the index itself.
    """
    aligned, reference, current = samples
    tail = chosen & sampled_columns(*samples)
    if not tail.any():
        return effects
    part = measure(distance, aligned.tails.pair(reference.tail, current.tail, tail), alpha[tail])
    weight = _weight(*samples)[tail]
    if distance is Distance.LINF:
        drawn = aligned.tails.add(reference.tail) / np.maximum(reference.others, 1e-9)
        weight = weight * np.minimum(drawn, 1.0)[tail]
    factor = np.sqrt(weight) if distance is Distance.JENSEN_SHANNON else weight
    names = ("value", "corrected", "lower", "upper")
    scaled = Effects(**{name: getattr(part, name) * factor for name in names}, p_value=part.p_value)
    return _larger(effects, scaled, tail[chosen])


def new_values(
    aligned: AlignedCounts, reference: SampleCounts, current: SampleCounts, chosen: Flags, alpha: float
) -> Effects:
    """Measure the rise of the share of values that the reference does not have over that expected by chance.

    Frequent new values are also judged by themselves: they stand out of a long tail, and where there are too
    many values the sample may have missed them.
    """
    found = unseen(aligned, reference, current)
    frequent = (reference.frequent == 0) & (current.frequent > 0) & chosen[aligned.tails.frequent_columns]
    columns = aligned.tails.frequent_columns[frequent]
    number = np.bincount(columns, minlength=len(chosen))
    level = np.where(number > 0, alpha / 2, alpha)
    hits, totals = ((side[0][chosen], side[1][chosen]) for side in (found.hits, found.totals))
    effects = rises(hits, totals, level[chosen])
    if not frequent.any():
        return effects
    least = current.frequent[frequent]
    most = reference.frequent[frequent] + reference.errors[columns]
    sizes = aligned.add(reference.counts)[columns], aligned.add(current.counts)[columns]
    each = gains((most, least), sizes, level[columns] / number[columns])
    rising = each.lower > 0
    summed = {
        name: np.bincount(columns[rising], getattr(each, name)[rising], len(chosen)).astype(float)[chosen]
        for name in ("value", "corrected", "lower", "upper")
    }
    p_value = np.ones(len(chosen))
    np.minimum.at(p_value, columns, each.p_value * number[columns])
    return _larger(effects, Effects(**summed, p_value=p_value[chosen]), (number > 0)[chosen])


def _larger(effects: Effects, part: Effects, where: Flags) -> Effects:
    """Return the effects with the larger lower bound; both share the error probability.

    :param part: of the columns ``where``, or of all.
    """
    found = {}
    names = ("value", "corrected", "lower", "upper", "p_value")
    other = {name: _placed(getattr(part, name), where) for name in names}
    better = where & (other["lower"] > np.maximum(effects.lower, 0.0))
    for name in names[:4]:
        found[name] = np.where(better, other[name], getattr(effects, name))
    found["upper"] = np.maximum(effects.upper, other["upper"])
    both = np.minimum(1.0, 2 * np.minimum(effects.p_value, other["p_value"]))
    return Effects(**found, p_value=np.where(where, both, effects.p_value))


def _placed(values: Floats, where: Flags) -> Floats:
    if len(values) == len(where):
        return values
    placed = np.zeros(len(where))
    placed[where] = values
    return placed


def _weight(aligned: AlignedCounts, reference: SampleCounts, current: SampleCounts) -> Floats:
    """Return the share of values without a bin, in the sample where it is smaller."""
    totals = (np.maximum(aligned.add(sample.counts), 1e-9) for sample in (reference, current))
    shares = [sample.others / total for sample, total in zip((reference, current), totals, strict=True)]
    return np.minimum(*shares)


def _comparable_share(bins: Bins) -> Floats:
    """Return the pooled share of the bins that are compared by themselves."""
    return bins.add(np.where(common_bins(bins), bins.pooled, 0.0))
