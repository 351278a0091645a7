"""Counters as samples over time: what they grew by in a window, restarts included."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from airflow_mlops.core.errors import ServiceUnavailableError
from airflow_mlops.core.record import Record

_TARGET_LABELS = ("job", "instance", "pod")


@dataclass(frozen=True, slots=True, kw_only=True)
class Series(Record):
    """One counter's raw samples, oldest first.

    :param labels: its labels, without the metric's name.
    :param samples: pairs of time (epoch seconds) and value.
    """

    labels: dict[str, str] = field(default_factory=dict)
    samples: tuple[tuple[float, float], ...]

    @property
    def oldest(self) -> float:
        """Time of the first sample, epoch seconds."""
        return self.samples[0][0]

    @property
    def newest(self) -> float:
        """Time of the last sample, epoch seconds."""
        return self.samples[-1][0]

    @property
    def target(self) -> tuple[str | None, ...]:
        """What was scraped."""
        return tuple(self.labels.get(name) for name in _TARGET_LABELS)

    def growth(self, since: float, until: float, *, is_new: bool = False) -> float:
        """Return what was counted by the samples in ``(since, until]``.

        Windows that follow each other share no sample and leave none out. A value below the one before
        is a counter that started again from zero.

        :param is_new: a first sample after ``since`` counts from zero; else it only says from where to
            count: a counter that somebody begins to scrape brings all it ever counted.
        """
        first = 0.0 if is_new else next((value for at, value in self.samples if at > since), 0.0)
        known = [value for at, value in self.samples if at <= since][-1:] or [first]
        values = known + [value for at, value in self.samples if since < at <= until]
        return sum(new - old if new >= old else new for old, new in pairwise(values))


def parse_matrix(answer: Any) -> list[Series]:
    """Return the series of a range selector's answer; samples that are no count are left out.

    :raises ServiceUnavailableError: no such answer, or one of a part of the data only.
    """
    try:
        warnings, result = answer.get("warnings"), answer["data"]["result"]
        found = [_series(each) for each in result if each.get("values")]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        msg = f"no answer to a query: {str(answer)[:200]}"
        raise ServiceUnavailableError(msg) from error
    if warnings:
        msg = f"an answer of a part of the data: {'; '.join(map(str, warnings))}"
        raise ServiceUnavailableError(msg)
    return [each for each in found if each.samples]


def total(series: list[Series], since: float, until: float, scraped: frozenset[Any]) -> int:
    """Return the growth of all series together.

    Prometheus's own ``increase`` loses the first errors of a target, and invents fractions.

    :param scraped: targets that were scraped before the window: what they show for the first time is new.
    """
    return round(sum(each.growth(since, until, is_new=each.target in scraped) for each in series))


def _series(found: dict[str, Any]) -> Series:
    samples = ((float(at), float(value)) for at, value in found["values"])
    return Series(
        labels={name: text for name, text in found["metric"].items() if name != "__name__"},
        samples=tuple((at, value) for at, value in samples if math.isfinite(value) and value >= 0),
    )
