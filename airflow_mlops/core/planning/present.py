"""What the rows that are there can never decide, however good the challenger is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_mlops.core.nouns import with_noun
from airflow_mlops.core.record import Record
from airflow_mlops.core.validation.metrics.registry import Family, is_in_points, traits_of
from airflow_mlops.core.validation.report import first_of

if TYPE_CHECKING:
    from airflow_mlops.core.validation.policy import ValidationPolicy

_MOST_NAMED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Present(Record):
    """Counts of a window's rows.

    :param rows: with a label; ``held_back``: of them, those that validation has.
    :param rarest: held-back rows of the rarest class; ``None`` if labels are numbers.
    :param prevalence: share of positives; ``None`` unless there are two classes.
    :param segments: held-back rows of each value of each declared column.
    :param days: on which the rows lie; ``None`` if no column tells.
    """

    rows: int
    held_back: int
    rarest: int | None = None
    prevalence: float | None = None
    segments: dict[str, dict[str, int]] = field(default_factory=dict)
    days: int | None = None

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
    few = present.rarest if present.rarest is not None else present.held_back
    found = []
    if few < policy.min_class_rows:
        found.append(
            f"validate.min_class_rows {policy.min_class_rows}: {few} held-back rows of the rarest class, "
            "so that everything is too small to tell"
        )
    for name, margin in policy.margin.items():
        found += _unseen(f"validate.margin.{name} {margin:g}", name, margin, policy, present)
    for name, floor in policy.floor.items():
        if is_in_points(name):
            found += _unseen(f"validate.floor.{name} {floor:g}", name, 1 - floor, policy, present)
    return [*found, *_segments(policy, present)]


def _unseen(key: str, name: str, distance: float, policy: ValidationPolicy, present: Present) -> list[str]:
    traits = traits_of(name)
    if traits is None or not traits.max_influence:
        return []
    of_a_class = traits.family is not Family.MEAN and present.rarest is not None
    rests, what = (
        (present.rarest or 0, "of the rarest class") if of_a_class else (present.held_back, "held back")
    )
    needed = math.inf if distance <= 0 else math.log(1 / policy.alpha) * traits.max_influence / distance
    if rests >= needed:
        return []
    least = "no number of rows suffices" if math.isinf(needed) else f"needs {math.ceil(needed):,} rows {what}"
    return [f"{key}: {least} even if no failure is seen (rule of three), there are {rests:,}"]


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
    return found
