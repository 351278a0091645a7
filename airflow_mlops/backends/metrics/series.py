"""Counters as samples over time: what they grew by in a window, restarts included."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from airflow_mlops.core.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Series(Record):
    """One counter's raw samples, oldest first.

    :param labels: names of its labels.
    :param samples: pairs of time (epoch seconds) and value.
    """

    labels: frozenset[str]
    samples: tuple[tuple[float, float], ...]

    @property
    def newest(self) -> float:
        """Time of the last sample, epoch seconds."""
        return self.samples[-1][0]

    def growth(self, since: float, until: float) -> float:
        """Return what was counted by the samples in ``(since, until]``.

        Windows that follow each other share no sample and leave none out. A value below the one before
        is a counter that started again from zero. A series whose first sample comes after ``since`` is a
        new one: Prometheus's own ``increase`` loses its first errors, and invents fractions.
        """
        known = [value for at, value in self.samples if at <= since][-1:] or [0.0]
        values = known + [value for at, value in self.samples if since < at <= until]
        return sum(new - old if new >= old else new for old, new in pairwise(values))


def parse_matrix(answer: dict[str, Any]) -> list[Series]:
    """Return the series of a range selector's answer."""
    return [
        Series(
            labels=frozenset(found["metric"]) - {"__name__"},
            samples=tuple((float(at), float(value)) for at, value in found["values"]),
        )
        for found in answer["data"]["result"]
        if found.get("values")
    ]


def total(series: list[Series], since: float, until: float) -> int:
    """Return the growth of all series together."""
    return round(sum(each.growth(since, until) for each in series))
