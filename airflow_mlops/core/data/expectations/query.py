"""Question: a rule asked of one column, with its limits read and its answer in three values.

``True`` and ``False`` are what Great Expectations would say of the rows; ``None`` means that the profile
cannot tell, or that a limit is of a kind that Great Expectations should judge itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from airflow_mlops.core.data.profile.column import Column
from airflow_mlops.core.data.profile.profile import Profile
from airflow_mlops.core.data.schema.schema import Rule

EXACT = 2.0**53
"""Whole numbers up to here are exact as floats, which is how a profile keeps them."""


class Answer(NamedTuple):
    """What the profile says: passed or not, what was seen, and the sentence for people."""

    passed: bool
    observed: float | int | str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """A lower and an upper limit; ``None`` is no limit, strict ones exclude the limit itself."""

    low: float | None
    high: float | None
    strict_low: bool = False
    strict_high: bool = False

    @property
    def limit(self) -> bool:
        """Whether there is a limit at all."""
        return self.low is not None or self.high is not None

    @property
    def contradict(self) -> bool:
        """Whether no value can lie within."""
        return self.low is not None and self.high is not None and self.low > self.high

    def holds(self, value: float) -> bool:
        """Say whether a value lies within."""
        return not self.is_below(value) and not self.is_above(value)

    def is_below(self, value: float) -> bool:
        """Say whether a value misses the lower limit."""
        return self.low is not None and (value <= self.low if self.strict_low else value < self.low)

    def is_above(self, value: float) -> bool:
        """Say whether a value misses the upper limit."""
        return self.high is not None and (value >= self.high if self.strict_high else value > self.high)

    def judge(self, least: float, most: float) -> bool | None:
        """Judge a number known to lie from ``least`` to ``most``: ``None`` where that does not decide."""
        if self.holds(least) and self.holds(most):
            return True
        return False if self.is_below(most) or self.is_above(least) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A rule and the column it is about."""

    rule: Rule
    column: Column
    profile: Profile

    @property
    def mostly(self) -> float:
        """Share of values that have to meet the rule."""
        return float(self.rule.kwargs.get("mostly", 1.0))

    def say(self, *, passed: bool | None, observed: float | str | None, reason: str) -> Answer | None:
        """Return the answer, ``None`` if it is not known."""
        return None if passed is None else Answer(passed, observed, f"{self.column.name}: {reason}")

    def judge_share(self, least: int, most: int) -> bool | None:
        """Judge a rule that at least ``least``, at most ``most`` of the values meet."""
        present = self.column.present
        if not present:
            return True
        if least / present >= self.mostly:
            return True
        return False if most / present < self.mostly else None


def read_bounds(kwargs: dict[str, Any], *, whole: bool = False) -> Bounds | None:
    """Read numeric limits; ``None`` if Great Expectations should judge them itself.

    :param whole: only whole numbers are understood, as for counts and lengths.
    """
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if not all(value is None or is_plain(value, whole=whole) for value in (low, high)):
        return None
    if low is not None and high is not None and low > high:
        return None
    return with_strictness(kwargs, low, high)


def with_strictness(kwargs: dict[str, Any], low: float | None, high: float | None) -> Bounds | None:
    """Return limits that are strict where the rule says so."""
    strict = kwargs.get("strict_min") or False, kwargs.get("strict_max") or False
    if not all(isinstance(flag, bool) for flag in strict):
        return None
    return Bounds(low=low, high=high, strict_low=strict[0], strict_high=strict[1])


def is_plain(value: Any, *, whole: bool = False) -> bool:
    """Say whether a limit is a number that floats hold exactly."""
    kinds = int if whole else int | float
    return (
        isinstance(value, kinds)
        and not isinstance(value, bool)
        and abs(value) < EXACT
        and math.isfinite(value)
    )


def understands_mostly(kwargs: dict[str, Any]) -> bool:
    """Say whether ``mostly`` is absent or a share."""
    mostly = kwargs.get("mostly", 1.0)
    return is_plain(mostly) and 0 <= mostly <= 1


def span(rule: Rule) -> str:
    """Return the rule's limits for people."""
    low, high = rule.kwargs.get("min_value"), rule.kwargs.get("max_value")
    return f"{'anything' if low is None else low} to {'anything' if high is None else high}"
