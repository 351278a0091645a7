"""Port: source of both arms' counts if the serving back end does not count requests itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from airflow_mlops.core.rollout.counters import Reading
    from airflow_mlops.core.rollout.plan import RolloutMetric


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms(Record):
    """The two versions of a rollout.

    :param stable: ``None`` at a cold start.
    """

    canary: str
    stable: str | None = None

    def named(self) -> dict[str, str]:
        """Return version by arm, of the arms that exist."""
        arms = {"canary": self.canary}
        return arms if self.stable is None else arms | {"stable": self.stable}


class MetricsSource(Protocol):
    """Source of cumulative counts: each reading adds the requests since the previous one.

    The first reading only sets the start. ``None`` means missing data: no evidence, never success. The next
    reading then covers the longer period, so that no request is lost or counted twice.
    """

    @property
    def measures(self) -> frozenset[RolloutMetric]:
        """Metrics that this source provides."""

    def check(self, *, now: float) -> None:
        """Check, before any traffic moves, that the counts can be read.

        :param now: seconds since the epoch.
        :raises InvalidConfigError: names the metric, table or column that does not exist.
        :raises ServiceUnavailableError: the source does not answer.
        """

    def read(self, arms: Arms, after: Reading, *, now: float) -> Reading | None:
        """Return ``after`` plus the requests since; blocks, so never call it on an event loop.

        :param now: seconds since the epoch.
        :raises ServiceUnavailableError: the source does not answer.
        :raises InvalidConfigError: the source rejects the query.
        """
