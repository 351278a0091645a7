"""Differences of cumulative counters: repeated readings and counter resets count each request once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

from airflow_mlops.core.errors import InvalidRecordError
from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.evidence.prediction import BinCounts
from airflow_mlops.core.rollout.evidence.share import ArmCounts

_RETIRED_LIMIT = 50
ZERO_COUNTS = ArmCounts(canary_requests=0, canary_errors=0, stable_requests=0, stable_errors=0)

Arm = Literal["canary", "stable"]
ARMS: tuple[Arm, Arm] = ("canary", "stable")


class ReadingStatus(StrEnum):
    """What happened to a reading."""

    APPLIED = "applied"
    EMPTY = "empty"
    WARM_UP = "warm_up"
    GAP = "gap"
    RESTARTED = "restarted"
    REPEATED = "repeated"
    BACKWARDS = "backwards"
    MISSING = "missing"


COUNTED_STATUSES = (ReadingStatus.APPLIED, ReadingStatus.GAP, ReadingStatus.RESTARTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(Record):
    """Cumulative counts of both arms at one moment.

    :param generation: changes when all counters were reset to zero (gateway restarted).
    :param canary_generation: changes when the canary's counters were reset (its server restarted);
        ``stable_generation`` likewise.
    :param sequence: number of the reading in its source, from 1; 0 if the source does not number readings.
    :param until: time up to which requests are counted, epoch seconds; 0 if the source does not say.
    :param client_errors: requests, and as errors those answered 4xx.
    :param latency: requests, and as errors those slower than the champion's p99.
    :param quality: requests whose label is known, and as errors those answered wrongly.
    :param recent: counts, by a source's own names, of the time from ``recent_since``, epoch seconds, to
        ``until``: what is there later and not among them came late.
    """

    generation: str = ""
    canary_generation: str = ""
    stable_generation: str = ""
    sequence: int = 0
    until: float = 0.0
    canary_requests: int = 0
    canary_errors: int = 0
    stable_requests: int = 0
    stable_errors: int = 0
    client_errors: ArmCounts | None = None
    latency: ArmCounts | None = None
    quality: ArmCounts | None = None
    predictions: BinCounts | None = None
    recent: dict[str, int] = field(default_factory=dict)
    recent_since: float = 0.0

    def key(self, arm: Arm) -> str:
        """Return an identifier of an arm's counters that changes with every reset."""
        return f"{arm}:{self.generation}:{getattr(self, f'{arm}_generation')}"

    def requests(self) -> dict[str, int]:
        """Return the four counts of requests and errors."""
        return {f"{arm}_{what}": getattr(self, f"{arm}_{what}") for arm in ARMS for what in COUNT_KINDS}


COUNT_KINDS = ("requests", "errors")
_SHARED = ("client_errors", "latency", "quality")
_PARTS = (*_SHARED, "predictions")


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterDelta(Record):
    """Increase of the counters from one reading to the next."""

    errors: ArmCounts
    client_errors: ArmCounts | None = None
    latency: ArmCounts | None = None
    quality: ArmCounts | None = None
    predictions: BinCounts | None = None

    @property
    def answered(self) -> ArmCounts:
        """Requests, and errors among them, without those that were refused (4xx).

        These show nothing of a model: one that refuses what the champion answers has no evidence to go on.
        """
        refused, errors = self.client_errors or ZERO_COUNTS, self.errors
        return replace(
            errors,
            canary_requests=max(errors.canary_requests - refused.canary_errors, errors.canary_errors),
            stable_requests=max(errors.stable_requests - refused.stable_errors, errors.stable_errors),
        )


def delta_since(
    last: Reading, reading: Reading, retired: tuple[str, ...]
) -> tuple[ReadingStatus, CounterDelta | None]:
    """Return the status of a reading and the increase since ``last``; ``None`` where it is unknown.

    Counters that were reset (their generation changed) count from zero. There is no increase for counters
    that decrease without a reset, for a reading that was applied before, and for a reading of retired
    counters; then ``last`` stays the reading to count from.
    """
    if _is_old(last, reading) or any(reading.key(arm) in retired for arm in ARMS):
        return ReadingStatus.REPEATED, None
    reset = tuple(arm for arm in ARMS if reading.key(arm) != last.key(arm))
    counts = [reading.requests(), *(_counts(reading, name) for name in _SHARED)]
    before = [last.requests(), *(_counts(last, name) for name in _SHARED)]
    increases = [_increases(new, old, reset) for new, old in zip(counts, before, strict=True)]
    bins = _new_bins(last.predictions, reading.predictions, reset)
    if any(min(each.values()) < 0 for each in increases if each) or (bins and min(bins[0] + bins[1]) < 0):
        return ReadingStatus.BACKWARDS, None
    errors, *shared = (_arm_counts(each) for each in increases)
    delta = CounterDelta(
        errors=errors or ZERO_COUNTS,
        **dict(zip(_SHARED, shared, strict=True)),
        predictions=BinCounts(canary=bins[0], stable=bins[1]) if bins else None,
    )
    return _status(last, reading, delta, restarted=bool(reset)), delta


def carried(last: Reading, reading: Reading) -> Reading:
    """Return the reading to count from next: metrics that it lacks keep their previous counts.

    Otherwise a metric that is missing once would be counted from zero again.
    """
    reset = tuple(arm for arm in ARMS if reading.key(arm) != last.key(arm))
    before: dict[str, Any] = {
        name: _without(getattr(last, name), reset) for name in _PARTS if getattr(reading, name) is None
    }
    return replace(reading, **before)


def retire(last: Reading, reading: Reading, retired: tuple[str, ...]) -> tuple[str, ...]:
    """Add the counters that were reset, so that a late reading of theirs is not taken for a new reset."""
    gone = tuple(last.key(arm) for arm in ARMS if last.key(arm) != reading.key(arm))
    return (*retired, *gone)[-_RETIRED_LIMIT:]


def _without(part: ArmCounts | BinCounts | None, arms: tuple[Arm, ...]) -> ArmCounts | BinCounts | None:
    """Return counts with those of the arms that were reset set to zero."""
    if isinstance(part, BinCounts):
        return replace(part, **{arm: (0,) * len(part.canary) for arm in arms})
    if part is not None:
        return replace(part, **{f"{arm}_{what}": 0 for arm in arms for what in COUNT_KINDS})
    return None


def _is_old(last: Reading, reading: Reading) -> bool:
    same_numbers = reading.generation == last.generation
    return 0 < reading.until <= last.until or (same_numbers and 0 < reading.sequence <= last.sequence)


def _status(last: Reading, reading: Reading, delta: CounterDelta, *, restarted: bool) -> ReadingStatus:
    if restarted:
        return ReadingStatus.RESTARTED
    if 0 < last.sequence < reading.sequence - 1:
        return ReadingStatus.GAP
    seen = [each for each in (delta.errors, *(getattr(delta, name) for name in _SHARED)) if each]
    requests = sum(each.canary_requests + each.stable_requests for each in seen)
    return ReadingStatus.APPLIED if requests else ReadingStatus.EMPTY


def _counts(reading: Reading, name: str) -> dict[str, int]:
    counts: ArmCounts | None = getattr(reading, name)
    return (
        {f"{arm}_{w}": getattr(counts, f"{arm}_{w}") for arm in ARMS for w in COUNT_KINDS} if counts else {}
    )


def _increases(new: dict[str, int], old: dict[str, int], reset: tuple[Arm, ...]) -> dict[str, int]:
    return {name: n - (0 if name.startswith(reset) else old.get(name, 0)) for name, n in new.items()}


def _new_bins(
    old: BinCounts | None, new: BinCounts | None, reset: tuple[Arm, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    if new is None:
        return None
    if old is not None and len(old.canary) != len(new.canary):
        msg = f"prediction bins: {len(new.canary)}, before: {len(old.canary)}; they may not change"
        raise InvalidRecordError(msg)
    zero = (0,) * len(new.canary)
    canary = zero if old is None or "canary" in reset else old.canary
    stable = zero if old is None or "stable" in reset else old.stable
    return (
        tuple(n - o for n, o in zip(new.canary, canary, strict=True)),
        tuple(n - o for n, o in zip(new.stable, stable, strict=True)),
    )


def _arm_counts(counts: dict[str, int]) -> ArmCounts | None:
    """Return counts in which requests are at least errors: a source may count an error before its request."""
    if not counts:
        return None
    requests = {arm: max(counts[f"{arm}_requests"], counts[f"{arm}_errors"]) for arm in ARMS}
    return ArmCounts(
        **{**counts, "canary_requests": requests["canary"], "stable_requests": requests["stable"]}
    )
