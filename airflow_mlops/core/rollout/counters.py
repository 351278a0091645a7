"""Which part of a reading is new: every request is counted once, whatever is read twice, late or anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    """What became of a reading."""

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

    :param generation: changes when all counters started again from zero (gateway restarted).
    :param canary_generation: changes when the canary's counters did (its server was started again).
    :param sequence: number of the reading in its source, 1 and up; 0 when the source does not number.
    :param until: moment up to which was counted, epoch seconds; 0 when the source does not say.
    :param latency: as the four counts, "error" being an answer slower than the champion's p99.
    :param quality: as the four counts, of answers whose label is known, "error" being a wrong answer.
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
    latency: ArmCounts | None = None
    quality: ArmCounts | None = None
    predictions: BinCounts | None = None

    def key(self, arm: Arm) -> str:
        """Name the life of an arm's counters."""
        return f"{arm}:{self.generation}:{getattr(self, f'{arm}_generation')}"

    def requests(self) -> dict[str, int]:
        """Return the four counts of requests and errors."""
        return {f"{arm}_{what}": getattr(self, f"{arm}_{what}") for arm in ARMS for what in COUNT_KINDS}


COUNT_KINDS, _PARTS = ("requests", "errors"), ("latency", "quality", "predictions")


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterDelta(Record):
    """What a reading adds to all before it."""

    errors: ArmCounts
    latency: ArmCounts | None = None
    quality: ArmCounts | None = None
    predictions: BinCounts | None = None


def delta_since(
    last: Reading, reading: Reading, retired: tuple[str, ...]
) -> tuple[ReadingStatus, CounterDelta | None]:
    """Return what happened since ``last`` and what to call it; nothing where that cannot be known.

    Counters that started again (their generation changed) count from zero. Counters that run backwards
    without that, a reading that was applied already, and one of counters that are gone are no
    measurement: nothing is guessed, and ``last`` stays the point to count from.
    """
    if _is_old(last, reading) or any(reading.key(arm) in retired for arm in ARMS):
        return ReadingStatus.REPEATED, None
    again = tuple(arm for arm in ARMS if reading.key(arm) != last.key(arm))
    counts = [reading.requests(), *(_counts(reading, name) for name in ("latency", "quality"))]
    before = [last.requests(), *(_counts(last, name) for name in ("latency", "quality"))]
    grown = [_grown(new, old, again) for new, old in zip(counts, before, strict=True)]
    bins = _new_bins(last.predictions, reading.predictions, again)
    if any(min(each.values()) < 0 for each in grown if each) or (bins and min(bins[0] + bins[1]) < 0):
        return ReadingStatus.BACKWARDS, None
    errors, latency, quality = (_window(each) for each in grown)
    fresh = CounterDelta(
        errors=errors or ZERO_COUNTS,
        latency=latency,
        quality=quality,
        predictions=BinCounts(canary=bins[0], stable=bins[1]) if bins else None,
    )
    return _arrival(last, reading, fresh, restarted=bool(again)), fresh


def carried(last: Reading, reading: Reading) -> Reading:
    """Return a reading to count from: what it does not say of a metric is as it was read before.

    Else a metric that was silent once would be counted from its beginning again.
    """
    again = tuple(arm for arm in ARMS if reading.key(arm) != last.key(arm))
    before: dict[str, Any] = {
        name: _without(getattr(last, name), again) for name in _PARTS if getattr(reading, name) is None
    }
    return replace(reading, **before)


def retire(last: Reading, reading: Reading, retired: tuple[str, ...]) -> tuple[str, ...]:
    """Remember counters that are gone, so that an old reading of theirs is never taken for new ones."""
    gone = tuple(last.key(arm) for arm in ARMS if last.key(arm) != reading.key(arm))
    return (*retired, *gone)[-_RETIRED_LIMIT:]


def _without(part: ArmCounts | BinCounts | None, arms: tuple[Arm, ...]) -> ArmCounts | BinCounts | None:
    """Return counts with those of arms that started again at zero."""
    if isinstance(part, BinCounts):
        return replace(part, **{arm: (0,) * len(part.canary) for arm in arms})
    if part is not None:
        return replace(part, **{f"{arm}_{what}": 0 for arm in arms for what in COUNT_KINDS})
    return None


def _is_old(last: Reading, reading: Reading) -> bool:
    same_numbers = reading.generation == last.generation
    return 0 < reading.until <= last.until or (same_numbers and 0 < reading.sequence <= last.sequence)


def _arrival(last: Reading, reading: Reading, fresh: CounterDelta, *, restarted: bool) -> ReadingStatus:
    if restarted:
        return ReadingStatus.RESTARTED
    if 0 < last.sequence < reading.sequence - 1:
        return ReadingStatus.GAP
    seen = [each for each in (fresh.errors, fresh.latency, fresh.quality) if each]
    asked = sum(each.canary_requests + each.stable_requests for each in seen)
    return ReadingStatus.APPLIED if asked else ReadingStatus.EMPTY


def _counts(reading: Reading, name: str) -> dict[str, int]:
    window: ArmCounts | None = getattr(reading, name)
    return (
        {f"{arm}_{w}": getattr(window, f"{arm}_{w}") for arm in ARMS for w in COUNT_KINDS} if window else {}
    )


def _grown(new: dict[str, int], old: dict[str, int], again: tuple[Arm, ...]) -> dict[str, int]:
    return {name: n - (0 if name.startswith(again) else old.get(name, 0)) for name, n in new.items()}


def _new_bins(
    old: BinCounts | None, new: BinCounts | None, again: tuple[Arm, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    if new is None:
        return None
    if old is not None and len(old.canary) != len(new.canary):
        msg = f"prediction bins: {len(new.canary)}, before: {len(old.canary)}; they may not change"
        raise InvalidRecordError(msg)
    zero = (0,) * len(new.canary)
    canary = zero if old is None or "canary" in again else old.canary
    stable = zero if old is None or "stable" in again else old.stable
    return (
        tuple(n - o for n, o in zip(new.canary, canary, strict=True)),
        tuple(n - o for n, o in zip(new.stable, stable, strict=True)),
    )


def _window(counts: dict[str, int]) -> ArmCounts | None:
    """Return a window; an error may be counted a moment before its request."""
    if not counts:
        return None
    asked = {arm: max(counts[f"{arm}_requests"], counts[f"{arm}_errors"]) for arm in ARMS}
    return ArmCounts(**{**counts, "canary_requests": asked["canary"], "stable_requests": asked["stable"]})
