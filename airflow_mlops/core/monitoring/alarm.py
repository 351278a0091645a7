"""Alarm: whether the champion is worse than promised, over all windows that were judged, however many come.

Each window at a level of its own would call every champion degraded some day. Here the chance of a false
alarm is bounded over all windows together, and over the promise, which is one random number that all of them
share. The drop, promised value less mean of the windows, has the information I = 1 / (promise's variance +
mean's variance), which the promise's own error limits to T, however many windows come. Without a change the
score I x drop is a Brownian motion at time I, up to T (Jennison and Turnbull 2000, ch. 11). An alarm is its
crossing of the line a + I x allowed: a sequential probability ratio test of no drop against twice the allowed
one, ended where the promise says no more. Its probability is known in closed form where the motion is always
seen (Siegmund 1985, eq. 3.15), and is that of the single looks for the first windows. So the mean drop has to
exceed the allowed one by a / I.

A change may come late. So each window is also a start: later ones are compared with the promise and earlier
windows together, and with the promise alone where these were better. The first start has 95 % of alpha, start
j of the others a share of 1 / (j (j - 1)) of the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import special

from airflow_mlops.core.record import Record
from airflow_mlops.core.validation.metrics.registry import is_bounded, metric
from airflow_mlops.core.verdict import Finding, Outcome, Severity, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.monitoring.performance import Measurement, Promise
    from airflow_mlops.core.monitoring.performance_policy import PerformancePolicy
    from airflow_mlops.core.validation.metrics.base import Array

_FIRST = 0.95
_STEEP = 1 / 8  # of a window's error: the least slope, for an allowed drop of 0
_PRIOR = 10  # windows' worth of belief that windows differ by chance only
_TINY = 1e-12
_FARTHEST = 6.0  # standard errors
_LOOKS, _LARGE = 4, 1.5
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedWindow(Record):
    """One window of a champion; without a value it was inconclusive.

    :param partition: its key; windows are in the order of keys.
    :param error: standard error of the value.
    :param units: requests, or entities, that the value rests on.
    """

    partition: str
    value: float | None = None
    error: float = 0.0
    units: int = 0
    rows: int = 0

    @classmethod
    def of(cls, partition: str, seen: Measurement | None) -> JudgedWindow:
        """Keep what a measurement says; nothing of one that does not count."""
        if seen is None or not seen.counts:
            return cls(partition=partition)
        return cls(partition=partition, value=seen.value, error=seen.error, units=seen.units, rows=seen.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm(Record):
    """What all windows together say.

    :param windows: how many count; ``inconclusive``: how many do not.
    :param p_value: bounds the probability that a champion which did not change ever shows so much.
    :param since: the window from which on the drop is most certain; ``drop``: mean since then, promised less
        seen in the metric's own direction; ``mean``: of the values.
    """

    windows: int
    inconclusive: int
    p_value: float = 1.0
    since: str = ""
    drop: float = 0.0
    mean: float = 0.0


def conclude(verdict: Verdict, alarm: Alarm, promised: Promise, policy: PerformancePolicy) -> Verdict:
    """Return what all windows say, beside the verdict of the newest, which alone calls nobody degraded."""
    own = (
        replace(one, outcome=Outcome.WARN, severity=Severity.WARNING) if one.outcome is Outcome.FAIL else one
        for one in verdict.findings
    )
    return Verdict.of(verdict.gate, [*own, _told(alarm, promised, policy)])


def _told(alarm: Alarm, promised: Promise, policy: PerformancePolicy) -> Finding:
    left = f" ({alarm.inconclusive} more were inconclusive)" if alarm.inconclusive else ""
    if not alarm.windows:
        outcome, text = Outcome.INCONCLUSIVE, f"no window of this champion counts{left}"
    else:
        outcome = Outcome.FAIL if alarm.p_value <= policy.alpha else Outcome.PASS
        text = (
            f"{alarm.windows} windows{left}: {policy.metric} {alarm.mean:.4f} from {alarm.since} on, worse "
            f"than validation by {alarm.drop:+.4f}, allowed drop {policy.allowed(promised.value):.4g}; a "
            f"champion that never changed ever shows as much with probability {alarm.p_value:.2g}, alarm at "
            f"{policy.alpha:g}"
        )
    return Finding(
        check="alarm",
        subject=policy.metric,
        outcome=outcome,
        reason=text,
        observed=alarm.p_value,
        allowed=policy.alpha,
    )


class _Starts(NamedTuple):
    """Of each start.

    :param above: score less the line without ``a``; ``reference``: precision of what it is compared with,
        ``window``: of its first window; ``share``: of alpha; ``mean``: drop since.
    """

    above: Array
    reference: Array
    window: Array
    share: Array
    mean: Array


def judge_windows(windows: Sequence[JudgedWindow], promised: Promise, policy: PerformancePolicy) -> Alarm:
    """Return the evidence of a drop; an alarm if ``p_value`` is at most ``policy.alpha``.

    :param windows: of one champion; of several with one key the last counts.
    """
    kept = {one.partition: one for one in windows}
    known = [one for _, one in sorted(kept.items()) if one.value is not None]
    lacking = len(kept) - len(known)
    if not known:
        return Alarm(windows=0, inconclusive=lacking)
    sign = metric(policy.metric).sign
    values = np.array([one.value for one in known], dtype=np.float64)
    drops = sign * (promised.value - values)
    precision, between = _precision(drops, known)
    slope = max(policy.allowed(promised.value), _STEEP / float(np.sqrt(precision.mean())))
    error = float(np.hypot(_error_of(promised, policy, precision, known), np.sqrt(between)))
    starts = _starts(drops, precision, error, slope)
    p_values = _crossing(starts, slope) / starts.share
    since = int(p_values.argmin())
    return Alarm(
        windows=len(known),
        inconclusive=lacking,
        p_value=float(min(1.0, p_values[since])),
        since=known[since].partition,
        drop=float(starts.mean[since]),
        mean=float(promised.value - sign * starts.mean[since]),
    )


def _precision(drops: Array, known: Sequence[JudgedWindow]) -> tuple[Array, float]:
    """Return the inverse variance of each window, and how much of the variance is the windows' own.

    What units have in common, by its units; more where neighbours differ by more than chance (von Neumann's
    mean square of successive differences): windows of time have effects of their own.
    """
    units = np.array([max(1, one.units) for one in known], dtype=np.float64)
    errors = np.array([one.error for one in known], dtype=np.float64)
    of_one = float((units**2 * errors**2).sum() / units.sum())
    precision = units / max(of_one, _TINY)
    beyond = np.diff(drops) ** 2 / (1 / precision[1:] + 1 / precision[:-1])
    factor = max(1.0, (_PRIOR + float(beyond.sum())) / (_PRIOR + len(beyond)))
    return precision / factor, (factor - 1) / float(precision.mean())


def _error_of(
    promised: Promise, policy: PerformancePolicy, precision: Array, known: Sequence[JudgedWindow]
) -> float:
    """Return the promise's standard error.

    If it is not known it is that of so many rows in production; at least that of a loss without a bound,
    whose rare great values the held-back rows may have lacked.
    """
    error, rows = promised.error(metric(policy.metric).sign), float(np.mean([one.rows for one in known]))
    alike = float(np.sqrt(rows / (promised.rows or rows or 1) / precision.mean()))
    if error is None or not np.isfinite(error):
        return alike
    return max(error, _TINY) if is_bounded(policy.metric) else max(error, alike)


def _starts(drops: Array, precision: Array, error: float, slope: float) -> _Starts:
    """Compare the windows from each on with the promise, and the windows before."""
    sums, weights = np.cumsum(precision * drops), np.cumsum(precision)
    before = np.concatenate(([0.0], weights[:-1])) + 1 / error**2
    reference = np.concatenate(([0.0], sums[:-1])) / before
    after = weights[-1] - weights + precision
    mean = (sums[-1] - sums + precision * drops) / after
    information = 1 / (1 / before + 1 / after)
    place = np.arange(1, len(drops) + 1)
    return _Starts(
        above=information * (mean - np.maximum(reference, 0.0) - slope),
        reference=before,
        window=precision,
        share=np.where(place == 1, _FIRST, (1 - _FIRST) / np.maximum(1, place * (place - 1))),
        mean=mean,
    )


def _crossing(starts: _Starts, slope: float) -> Array:
    """Return the probability that a Brownian motion is ever seen above ``above + slope x time``.

    It is seen after the first windows, all like the first of them, and always from then on: of windows that
    tell much more than the reference after one only.
    """
    found = np.ones(len(starts.above))
    is_large = starts.window > _LARGE * starts.reference
    for places, looks in ((~is_large, _LOOKS), (is_large, 1)):
        (seen,) = np.nonzero((starts.above > 0) & places)
        above, reference, window = (of[seen, None] for of in (starts.above, starts.reference, starts.window))
        found[seen] = np.minimum(1.0, _seen_above(above, reference, window, slope, looks))
    return found


def _seen_above(above: Array, reference: Array, window: Array, slope: float, looks: int) -> Array:
    """Return the probability, backwards from the last look (Armitage, McPherson and Rowe 1969).

    At each look it is that of being above, or below at some place and above later: an integral.
    """
    known = np.arange(1, looks + 1) * window
    time = reference * known / (reference + known)
    line = above + slope * time
    width = line + _FARTHEST * np.sqrt(time)
    below = width[:, :, None] * (1 - _NODES) / 2
    rest = (reference * time / known)[:, -1:]
    chance = _later(below[:, -1], slope, rest)
    for look in range(looks - 1, -1, -1):
        step = np.sqrt(time[:, look] - (time[:, look - 1] if look else 0.0))[:, None]
        start = line[:, look - 1, None] - below[:, look - 1] if look else np.zeros_like(step)
        left = line[:, look, None] - start
        far = (left[:, :, None] - below[:, look, None, :]) / step[:, :, None]
        density = np.exp(-(far**2) / 2) / (step * np.sqrt(2 * np.pi))[:, :, None]
        weights = width[:, look, None] * _WEIGHTS / 2 * chance
        chance = special.ndtr(-left / step) + (density * weights[:, None, :]).sum(axis=2)
    return np.asarray(chance[:, 0])


def _later(below: Array, slope: float, time: Array) -> Array:
    """Return the probability that a Brownian motion exceeds ``below + slope x time`` up to ``time``."""
    root = np.sqrt(time)
    straight = special.ndtr((-below - slope * time) / root)
    turned = special.log_ndtr((-below + slope * time) / root) - 2 * slope * below
    return np.asarray(straight + np.exp(turned))
