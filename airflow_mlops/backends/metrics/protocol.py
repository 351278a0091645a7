"""Port: where the counts of both arms of a rollout are read when the gateway does not count itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from airflow_mlops.core.rollout.counters import Reading
    from airflow_mlops.core.rollout.plan import RolloutMetric


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms(Record):
    """The two versions that answer.

    :param stable: ``None`` at a cold start.
    """

    canary: str
    stable: str | None = None

    def named(self) -> dict[str, str]:
        """Return version by arm, of the arms there are."""
        arms = {"canary": self.canary}
        return arms if self.stable is None else arms | {"stable": self.stable}


class MetricsSource(Protocol):
    """Both calls add what happened since ``after`` to its counts; the first reading only says from when.

    ``None`` means that data is missing: no evidence, never success. The next reading then covers the
    longer time, so that nothing is lost and nothing counted twice.
    """

    @property
    def measures(self) -> frozenset[RolloutMetric]:
        """What a plan can watch by this source."""

    def check(self, *, now: float) -> None:
        """Refuse, before any traffic moves, what can never be read.

        :param now: seconds since the epoch.
        :raises InvalidConfigError: names what does not exist.
        :raises ServiceUnavailableError: the source does not answer.
        """

    def read(self, arms: Arms, after: Reading, *, now: float) -> Reading | None:
        """Read what came since; blocks, so never call it on an event loop.

        :param now: seconds since the epoch.
        :raises ServiceUnavailableError: the source does not answer.
        :raises InvalidConfigError: the source does not understand what it is asked.
        """
