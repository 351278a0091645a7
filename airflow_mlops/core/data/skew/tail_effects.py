"""Effects of values without a bin: how much they changed, which are new, and what can be told of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.data.profile.bins import Floats
from airflow_mlops.core.data.skew.bounds import Effects, gains, measure, rises
from airflow_mlops.core.data.skew.distance import Flags, common_bins
from airflow_mlops.core.data.skew.policy import Distance

if TYPE_CHECKING:
    from airflow_mlops.core.data.skew.bins import AlignedCounts, SampleCounts
    from airflow_mlops.core.data.skew.distance import Bins
    from airflow_mlops.core.data.skew.tails import Tails

LEAST_TOLD = 0.1
"""Of a column of which a smaller share recurs, nothing can be told: identifiers, free text."""
_MOSTLY = 0.5
_ONE, _TWO = 1 + 1e-9, 2 + 1e-9
"""Effective counts of values that occur once or twice; scaled counts are not quite whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparability:
    """What can be told of the values of columns, ``(n_columns,)`` each.

    :param identifier: nearly every value occurs once: others in the next window are no change.
    :param blind: most values have no bin, and they are not sampled, or they are known and all too rare in the
        smaller window to be compared: a change of them would not be seen.
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
    identifier = text & known & (told < LEAST_TOLD) & (once > 1 - LEAST_TOLD)
    few = text & known & (told < LEAST_TOLD) & ~identifier
    return Comparability(identifier=identifier, blind=few | (text & ~known & (told < _MOSTLY)))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """Values that the reference does not have, in the current sample: ``(n_columns,)`` each.

    :param expected: their share if nothing changed: the share of values that occur once in the reference
        (Good 1953). ``share``: their measured share.
    :param hits: effective counts of both; ``totals``: effective sample sizes. They are lower than the counts
        where the shares vary more than binomial ones.
    """

    expected: Floats
    share: Floats
    hits: tuple[Floats, Floats]
    totals: tuple[Floats, Floats]


def unseen(aligned: AlignedCounts, reference: SampleCounts, current: SampleCounts) -> Unseen:
    """Measure values without a counterpart in the reference, and estimate how many there are by chance.

    The variance of the Good-Turing estimate about the unseen share is that of Esty (1983): with f1 values
    that occur once and f2 that occur twice in n rows ``(f1 (1 - f1/n) + 2 f2) / n^2``. Where values without
    a bin are sampled, shares among them are ratio estimates, of no more than the sample's effective size.
    """
    n, m = (np.maximum(aligned.add(sample.counts), 1e-9) for sample in (reference, current))
    r, c, own = reference.counts, current.counts, ~aligned.is_rest
    text = aligned.categorical
    known = text & aligned.tails.known
    once, twice = _seldom(r)
    before, now = reference.tail, current.tail
    shares = [_ratio(aligned.tails, part, before, np.where(known, 1.0, 0.0)) for part in _seldom(before)]
    fresh = _ratio(aligned.tails, np.where(before == 0, now, 0.0), now, np.zeros(len(n)))
    single = np.where(known, shares[0][0], 1.0) * reference.others
    double = np.where(known, shares[1][0], 0.0) * reference.others
    new = np.where(known, fresh[0], 1.0) * current.others
    hits_before = np.minimum(aligned.add(np.where(own, once, 0.0)) + single, n)
    double = double + aligned.add(np.where(own, twice, 0.0))
    sizes = [_effective_size(aligned.tails, side) for side in (before, now)]
    hits_now = np.minimum(np.where(text, aligned.add(np.where(own & (r == 0), c, 0.0)), 0.0) + new, m)
    effects = (
        _design_effect(hits_before, n, double, (shares[0][1] * reference.others**2, sizes[0])),
        _design_effect(hits_now, m, np.zeros(len(m)), (fresh[1] * current.others**2, sizes[1])),
    )
    return Unseen(
        expected=hits_before / n,
        share=hits_now / m,
        hits=(hits_before / effects[0], hits_now / effects[1]),
        totals=(n / effects[0], m / effects[1]),
    )


def _seldom(counts: Floats) -> tuple[Floats, Floats]:
    """Return the counts of values that occur once, and of those that occur twice."""
    return np.where(counts <= _ONE, counts, 0.0), np.where((counts > _ONE) & (counts <= _TWO), counts, 0.0)


def _ratio(tails: Tails, part: Floats, whole: Floats, empty: Floats) -> tuple[Floats, Floats]:
    """Return the share of a part among the sampled values of each column, and its sampling variance.

    The variance is that of a share with one value more of either kind (Laplace), or that measured: a few
    values all of one kind would have none.
    """
    total, size = tails.add(whole), _effective_size(tails, whole)
    share = np.divide(tails.add(part), total, out=empty.copy(), where=total > 0)
    squares = tails.add((part - share[tails.columns] * whole) ** 2)
    measured = np.divide(squares, total**2, out=np.zeros_like(total), where=total > 0)
    smooth = (share * size + 1) / (size + 2)
    least = np.divide(smooth * (1 - smooth), size, out=np.zeros_like(total), where=size > 0)
    return share, np.maximum(measured, least)


def _effective_size(tails: Tails, counts: Floats) -> Floats:
    """Return the effective size of the sample of each column's values (Kish 1965), 0 without one."""
    total, squares = tails.add(counts), tails.add(counts**2)
    return np.divide(total**2, squares, out=np.zeros_like(total), where=squares > 0)


def _design_effect(hits: Floats, total: Floats, twice: Floats, sampling: tuple[Floats, Floats]) -> Floats:
    """Return the ratio of a count's variance to the binomial one.

    :param twice: count of values that occur twice; ``sampling``: sampling variance, and effective size of the
        sample, of which the result is worth no less.
    """
    binomial = np.maximum(hits * (1 - hits / total), 1.0)
    variance, size = sampling
    drawn = np.minimum(variance / binomial, total / np.maximum(size, 1e-9))
    return 1 + twice / np.maximum(binomial, twice / 2) + np.where(size > 0, drawn, 0.0)


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
