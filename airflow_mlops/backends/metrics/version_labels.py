"""VersionLabelMetrics: a metrics source that is queried by the versions' labels in metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.backends.metrics.protocol import Arms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_mlops.backends.metrics.protocol import MetricsSource
    from airflow_mlops.core.rollout.counters import Reading
    from airflow_mlops.core.rollout.plan import RolloutMetric


class VersionLabelMetrics:
    """Implements :class:`~airflow_mlops.backends.metrics.protocol.MetricsSource` on another source.

    :param labels: called at each reading; returns per version its label in metrics: a Knative revision, a
        Service, a deployed model. A version that is not up has none.
    """

    def __init__(self, source: MetricsSource, labels: Callable[[], Mapping[str, str]]) -> None:
        self.source = source
        self.labels = labels

    @property
    def measures(self) -> frozenset[RolloutMetric]:
        """Metrics that the source provides."""
        return self.source.measures

    def check(self, *, now: float) -> None:
        """Check the source."""
        self.source.check(now=now)

    def read(self, arms: Arms, after: Reading, *, now: float) -> Reading | None:
        """Read by the current labels; ``None`` if a version has none."""
        named = _renamed(arms, self.labels())
        return None if named is None else self.source.read(named, after, now=now)


def _renamed(arms: Arms, labels: Mapping[str, str]) -> Arms | None:
    found = {arm: labels.get(version) for arm, version in arms.named().items()}
    canary = found["canary"]
    if canary is None or None in found.values():
        return None
    return Arms(canary=canary, stable=found.get("stable"))
