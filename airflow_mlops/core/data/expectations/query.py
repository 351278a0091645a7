"""Profile query: a rule applied to the profile of one column, with three-valued results.

``True`` and ``False`` are the results that Great Expectations would return for the rows; ``None`` means that
the profile does not determine the result, or that a limit is of a type left to Great Expectations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from airflow_mlops.core.data.expectations.rule import Rule
from airflow_mlops.core.data.profile.column import Column
from airflow_mlops.core.data.profile.profile import Profile

EXACT = 2.0**53
"""Integers up to here are exact in double precision, in which a profile stores them."""
_MOST_LISTED = 5
RANGE_ARGUMENTS = frozenset({"min_value", "max_value", "strict_min", "strict_max"})


class ProfileAnswer(NamedTuple):
    """Result of a rule: whether it passed, the observed value, and the reason as a sentence.

    ``mild``: one that did not pass only warns, however severe the rule is.
    """

    passed: bool
    observed: float | int | str | None
    reason: str
    mild: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Lower and upper limit; ``None`` is no limit, a strict limit excludes the limit itself."""

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
        """Whether the interval is empty because the limits are reversed."""
        return self.low is not None and self.high is not None and self.low > self.high

    def holds(self, value: float) -> bool:
        """Say whether a value lies within the limits."""
        return not self.is_below(value) and not self.is_above(value)

    def is_below(self, value: float) -> bool:
        """Say whether a value violates the lower limit."""
        return self.low is not None and (value <= self.low if self.strict_low else value < self.low)

    def is_above(self, value: float) -> bool:
        """Say whether a value violates the upper limit."""
        return self.high is not None and (value >= self.high if self.strict_high else value > self.high)

    def judge(self, least: float, most: float) -> bool | None:
        """Judge a number known to lie in ``[least, most]``; ``None`` if the interval straddles a limit."""
        if self.holds(least) and self.holds(most):
            return True
        return False if self.is_below(most) or self.is_above(least) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileQuery:
    """A rule and the profiled column it applies to.

    :param whole: names of columns whose values are known from the rows to be whole numbers.
    """

    rule: Rule
    column: Column
    profile: Profile
    whole: Collection[str] = ()

    @property
    def mostly(self) -> float:
        """Share of values that must satisfy the rule."""
        return float(self.rule.kwargs.get("mostly", 1.0))

    def answer(
        self, *, passed: bool | None, observed: float | str | None, reason: str, mild: bool = False
    ) -> ProfileAnswer | None:
        """Return the result; ``None`` if ``passed`` is not known."""
        told = f"{self.column.name}: {reason}"
        return None if passed is None else ProfileAnswer(passed, observed, told, mild)

    def judge_share(self, least: int, most: int) -> bool | None:
        """Judge by ``mostly`` a rule that between ``least`` and ``most`` of the values satisfy."""
        present = self.column.present
        if not present:
            return True
        if least / present >= self.mostly:
            return True
        return False if most / present < self.mostly else None


def read_bounds(kwargs: dict[str, Any], *, whole: bool = False) -> Bounds | None:
    """Read numeric limits; ``None`` if they are left to Great Expectations.

    :param whole: accept integers only, as for counts and lengths.
    """
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if not all(value is None or is_plain(value, whole=whole) for value in (low, high)):
        return None
    if low is not None and high is not None and low > high:
        return None
    return with_strictness(kwargs, low, high)


def with_strictness(kwargs: dict[str, Any], low: float | None, high: float | None) -> Bounds | None:
    """Return the limits with the rule's ``strict_min`` and ``strict_max``."""
    strict = kwargs.get("strict_min") or False, kwargs.get("strict_max") or False
    if not all(isinstance(flag, bool) for flag in strict):
        return None
    return Bounds(low=low, high=high, strict_low=strict[0], strict_high=strict[1])


def is_plain(value: Any, *, whole: bool = False) -> bool:
    """Say whether a limit is a finite number that is exact in double precision."""
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


def shortened(values: Sequence[Any]) -> str:
    """Return values for a message, separated by commas; of many the first and how many more there are."""
    more = f" and {len(values) - _MOST_LISTED} more" if len(values) > _MOST_LISTED else ""
    return ", ".join(str(value) for value in values[:_MOST_LISTED]) + more


def limits_text(rule: Rule) -> str:
    """Return the rule's limits as text."""
    low, high = rule.kwargs.get("min_value"), rule.kwargs.get("max_value")
    return f"{'anything' if low is None else low} to {'anything' if high is None else high}"


ColumnEvaluators = Mapping[str, tuple[Callable[[ProfileQuery], ProfileAnswer | None], frozenset[str]]]
"""Evaluator of each expectation of one column, and the arguments it understands besides ``column``."""
