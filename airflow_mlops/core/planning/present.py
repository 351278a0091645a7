"""What the rows that are there can never decide, however good the challenger is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_mlops.core.nouns import with_noun
from airflow_mlops.core.record import Record
from airflow_mlops.core.validation.metrics.registry import is_in_points
from airflow_mlops.core.validation.report import first_of

if TYPE_CHECKING:
    from airflow_mlops.core.validation.policy import ValidationPolicy

_MOST_NAMED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Rests(Record):
    """What a metric rests on, as validation counts it.

    :param units: rows or entities, of several classes those of the rarest; ``is_too_small``: too few to tell.
    :param there: of which one is the largest step that the value can make; ``influence``: that step times
        their number, 0 if it has no bound.
    :param of_a_class: not all rows count; ``of_entities``: entities do, not rows.
    :param segments: of each declared column, those that have enough rows, but too few of these units.
    """

    units: int
    there: int
    influence: float = 0.0
    of_a_class: bool = False
    of_entities: bool = False
    is_too_small: bool = False
    segments: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def what(self) -> str:
        """What is counted."""
        noun = "entities" if self.of_entities else "rows"
        return f"held-back {noun}" + (" of the rarest class" if self.of_a_class else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Present(Record):
    """Counts of a window's rows.

    :param rows: with a label; ``held_back``: of them, those that validation has.
    :param rests: what each metric rests on.
    :param classes: how many there are; ``None`` if labels are numbers.
    :param prevalence: share of positives; ``None`` unless there are two classes.
    :param segments: held-back rows of each value of each declared column.
    :param entities: how many own the held-back rows; ``None`` if none are declared.
    :param days: on which the rows lie; ``None`` if no column tells.
    """

    rows: int
    held_back: int
    rests: dict[str, Rests] = field(default_factory=dict)
    classes: int | None = None
    prevalence: float | None = None
    segments: dict[str, dict[str, int]] = field(default_factory=dict)
    entities: int | None = None
    days: int | None = None

    @property
    def units(self) -> int:
        """Held-back entities if they are declared, else rows: what is drawn together."""
        return self.held_back if self.entities is None else self.entities

    @property
    def noun(self) -> str:
        """What the units are."""
        return "rows" if self.entities is None else "entities"

    @property
    def rows_per_unit(self) -> float:
        """Mean of held-back rows."""
        return self.held_back / self.units

    @property
    def shares(self) -> tuple[float, ...]:
        """Share of the held-back rows of each declared segment."""
        counts = [count for values in self.segments.values() for count in values.values()]
        return tuple(count / self.held_back for count in counts)


def never_decided(policy: ValidationPolicy, present: Present) -> list[str]:
    """Return which claims these rows cannot decide, each with its key, what it needs and what is there.

    Even of a challenger that makes no failure at all n rows exclude only failures of a share of
    ln(1 / alpha) / n (rule of three): a margin, or a distance of a floor from perfect, below that cannot be
    shown.
    """
    found = _too_small(policy, present)
    for name, margin in policy.margin.items():
        found += _unseen(f"validate.margin.{name} {margin:g}", name, margin, policy, present)
    for name, floor in policy.floor.items():
        if is_in_points(name):
            found += _unseen(f"validate.floor.{name} {floor:g}", name, 1 - floor, policy, present)
    return [*found, *_segments(policy, present)]


def _too_small(policy: ValidationPolicy, present: Present) -> list[str]:
    """Name the metrics that rest on too few units, those of as many together."""
    small: dict[str, list[str]] = {}
    for name, its in present.rests.items():
        if its.is_too_small:
            small.setdefault(f"{its.units:,} {its.what}", []).append(name)
    return [
        f"validate.min_class_rows {policy.min_class_rows}: {there}, too few to tell: "
        + ("everything" if len(names) == len(policy.measured) else ", ".join(names))
        for there, names in small.items()
    ]


def _unseen(key: str, name: str, distance: float, policy: ValidationPolicy, present: Present) -> list[str]:
    its = present.rests.get(name)
    if its is None or not its.influence:
        return []
    needed = math.inf if distance <= 0 else math.log(1 / policy.alpha) * its.influence / distance
    if its.there >= needed:
        return []
    least = "no number of rows suffices" if math.isinf(needed) else f"needs {math.ceil(needed):,} {its.what}"
    return [f"{key}: {least} even if no failure is seen (rule of three), there are {its.there:,}"]


def _segments(policy: ValidationPolicy, present: Present) -> list[str]:
    found = []
    for column, counts in present.segments.items():
        small = {value: count for value, count in counts.items() if count < policy.min_segment_rows}
        if small:
            named = first_of([f"{value} ({count})" for value, count in sorted(small.items())], _MOST_NAMED)
            found.append(
                f"data.segments.{column}: {len(small)} of {with_noun(len(counts), 'segment')} below "
                f"validate.min_segment_rows {policy.min_segment_rows}, judged only together "
                f"(held-back rows): {named}"
            )
        found += _few_of_a_class(policy, present, column, len(counts))
    return found


def _few_of_a_class(policy: ValidationPolicy, present: Present, column: str, every: int) -> list[str]:
    return [
        f"data.segments.{column}: {name} rests on fewer than validate.min_class_rows "
        f"{policy.min_class_rows} {its.what} in {len(small)} of {with_noun(every, 'segment')}, judged only "
        f"together: {first_of(small, _MOST_NAMED)}"
        for name, its in present.rests.items()
        if not its.is_too_small and (small := its.segments.get(column, ()))
    ]
