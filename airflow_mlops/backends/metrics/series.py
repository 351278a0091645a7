"""Increase of Prometheus counters over a window from raw samples, with counter resets."""

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

    :param labels: without the metric's name.
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
        """Identity of the scraped target."""
        return tuple(self.labels.get(name) for name in _TARGET_LABELS)

    def growth(self, since: float, until: float, *, is_new: bool = False) -> float:
        """Return the increase over the samples in ``(since, until]``.

        Consecutive windows share no sample and omit none. A value below the previous one is a counter reset.

        :param is_new: whether a first sample after ``since`` counts from zero. Otherwise it is only the start
            value: a counter that is scraped for the first time holds the requests of its whole life.
        """
        first = 0.0 if is_new else next((value for at, value in self.samples if at > since), 0.0)
        known = [value for at, value in self.samples if at <= since][-1:] or [first]
        values = known + [value for at, value in self.samples if since < at <= until]
        return sum(new - old if new >= old else new for old, new in pairwise(values))


def parse_matrix(answer: Any) -> list[Series]:
    """Return the series of a range selector's answer; older samples that are no counts are skipped.

    :raises ServiceUnavailableError: the answer is malformed or covers only a part of the data; a counter's
        newest sample is no count (NaN, infinite, negative): what it counted is not known.
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
    for each in result:
        if each.get("values") and not _is_count(float((newest := each["values"][-1])[1])):
            msg = f"no count: {newest[1]} of {each['metric']}"
            raise ServiceUnavailableError(msg)
    return found


def total(series: list[Series], since: float, until: float, scraped: frozenset[Any]) -> int:
    """Return the increase of all series together.

    Prometheus's ``increase`` misses the first value of a new series, and extrapolates to fractions.

    :param scraped: targets that were scraped before the window: a new series of theirs counts from zero.
    """
    return round(sum(each.growth(since, until, is_new=each.target in scraped) for each in series))


def _is_count(value: float) -> bool:
    return math.isfinite(value) and value >= 0


def _series(found: dict[str, Any]) -> Series:
    samples = ((float(at), float(value)) for at, value in found["values"])
    return Series(
        labels={name: text for name, text in found["metric"].items() if name != "__name__"},
        samples=tuple((at, value) for at, value in samples if _is_count(value)),
    )
