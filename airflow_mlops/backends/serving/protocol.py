"""Port: what answers requests, and how its traffic is split between two versions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.counters import Reading
from airflow_mlops.core.rollout.evidence.share import ArmCounts

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from airflow_mlops.backends.metrics.protocol import Arms
    from airflow_mlops.core.rollout.end import RolloutEnd
    from airflow_mlops.core.rollout.lease import Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic(Record):
    """Who gets which share of an endpoint's requests, as observed at the gateway.

    :param canary_percent: 0 to 100; the stable version gets the rest. With no stable version the
        canary gets every request whatever its percent (cold start).
    :param holder: the rollout that holds the endpoint, ``None`` when it is free.
    :param changed: what others changed of what serves, beside the weight; empty: nothing that is seen.
    """

    endpoint: str
    stable: str | None = None
    canary: str | None = None
    canary_percent: int = 0
    holder: str | None = None
    changed: str = ""

    @property
    def canary_share(self) -> int:
        """The canary's share of requests, 0 to 100: all of them when no other version serves."""
        return 100 if self.canary is not None and self.stable is None else self.canary_percent


@dataclass(frozen=True, slots=True, kw_only=True)
class Count(Record):
    """Predictions and errors since the version was deployed; none decreases while it lives.

    Other requests (health, metadata, unknown paths) do not count, nor what a gateway refused itself.

    :param requests: predictions that the version was given.
    :param errors: answers 5xx plus failed connections plus broken responses.
    :param client_errors: answers 4xx; no part of ``errors``.
    :param generation: changes when this version's counts started again (its server was restarted).
    """

    requests: int = 0
    errors: int = 0
    client_errors: int = 0
    generation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters(Record):
    """Counts per version at one moment.

    :param generation: changes when counts started again from zero (gateway restarted).
    """

    endpoint: str
    generation: str
    versions: dict[str, Count] = field(default_factory=dict)

    def reading(self, arms: Arms) -> Reading | None:
        """Return the counts of a rollout's two arms; ``None`` if one of them has none."""
        canary, stable = self.versions.get(arms.canary), self.versions.get(arms.stable or "")
        if canary is None or (stable is None and arms.stable is not None):
            return None
        return Reading(
            generation=self.generation,
            canary_generation=canary.generation,
            stable_generation=stable.generation if stable else "",
            canary_requests=canary.requests,
            canary_errors=canary.errors,
            stable_requests=stable.requests if stable else 0,
            stable_errors=stable.errors if stable else 0,
            client_errors=_client_errors(canary, stable or Count()),
        )


def _client_errors(canary: Count, stable: Count) -> ArmCounts:
    return ArmCounts(
        canary_requests=canary.requests,
        canary_errors=min(canary.client_errors, canary.requests),
        stable_requests=stable.requests,
        stable_errors=min(stable.client_errors, stable.requests),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped(Record):
    """What a stop found, and took out of traffic.

    :param version: the canary; ``None``: there was none.
    :param percent: the canary's share of requests before, 0 to 100.
    :param holder: the rollout that held the endpoint; ``None``: it was free.
    :param stable: the version that serves from then on; ``None``: none does.
    """

    endpoint: str
    version: str | None = None
    percent: int = 0
    holder: str | None = None
    stable: str | None = None


class ServingBackend(Protocol):
    """All calls are idempotent; those with ``holder`` need the claim of :meth:`claim`.

    Those with ``lease`` change nothing and raise ``LeaseLostError`` if somebody took the endpoint's lease
    since: its token fences off copies from the past. Without it only the name of the holder counts.

    An endpoint's holder is *dead* once its lease has ended: it expired, or the reaper ended it. Ends of
    rollouts that no ledger has yet are kept with the endpoint (*pending ends*).
    """

    def claim(self, endpoint: str, holder: str, *, now: float | None = None) -> None:
        """Take the endpoint for one rollout; taking it twice by the same holder is taking it once.

        A claim takes a lease of ``CLAIM_SECONDS`` at once; :meth:`deploy` renews it while it waits. A dead
        holder is replaced: its canary is set to 0 % first, at a cold start it goes on; its end is kept as a
        pending one of kind ``superseded``, or ``reaped``.

        :param now: seconds since the epoch; ``None``: of this machine's clock.
        :raises EndpointBusyError: another rollout holds it, and its lease has not ended; names the holder.
        """

    def stop(
        self, endpoint: str, end: RolloutEnd | None, *, now: float, holder: str | None = None
    ) -> Stopped:
        """Take the canary out of traffic, whoever holds the endpoint: a person's will.

        The canary goes to 0 % first, before anything else is written elsewhere; then it has no role any more.
        The endpoint is free, under a new lease token: no earlier holder writes any more. At a cold start
        nothing serves afterwards. Of two stops at once one wins; the other finds nothing to stop.

        :param end: kept as a pending end unless there was nothing to stop; version, champion, percent and
            holder are filled in. ``None``: no end is kept.
        :param holder: stop this rollout only: nothing happens when another holds the endpoint by now.
        """

    def pending_ends(self, endpoint: str) -> tuple[RolloutEnd, ...]:
        """Return the ends of rollouts that are to be written to the ledger, oldest first, 20 at most."""

    def ends_written(self, endpoint: str, ids: Collection[str]) -> None:
        """Forget the pending ends with these ids: the ledger has them. Unknown ids are ignored."""

    def release(self, endpoint: str, holder: str) -> None:
        """Give the endpoint back, its lease ends; nothing happens when ``holder`` does not hold it."""

    def take_lease(
        self, endpoint: str, holder: str, *, now: float, seconds: float, living: bool = False
    ) -> Lease:
        """Begin to watch an endpoint that ``holder`` has claimed; a later copy takes over from a first.

        After the reaper or a stop the endpoint is free: :meth:`claim` it again, to roll back, or to begin.

        :param living: for a rise: refuse when the last lease has ended, since the canary was unattended.
        :raises EndpointBusyError: another rollout holds the endpoint, or its lease.
        :raises LeaseLostError: ``living``, and the last lease has ended.
        """

    def keep_lease(self, endpoint: str, mine: Lease, *, now: float, seconds: float) -> Lease:
        """Go on watching; the lease then lasts two thirds of ``seconds`` or longer.

        :raises LeaseLostError: it ran out, or a later copy of the rollout took over.
        """

    def current_lease(self, endpoint: str) -> Lease | None:
        """Return the last lease of the endpoint, also one that has ended; ``None`` if there never was one."""

    def deploy(self, endpoint: str, version: str, model_dir: Path, *, holder: str) -> Traffic:
        """Start ``version`` from a local MLflow model folder at 0 % and wait until it is healthy.

        :raises ServiceUnavailableError: it did not become healthy; nothing of it is left running.
        """

    def traffic(self, endpoint: str) -> Traffic:
        """Return what the gateway does now (the truth), not what was last asked."""

    def set_traffic(
        self, endpoint: str, version: str, percent: int, *, holder: str, lease: Lease | None = None
    ) -> Traffic:
        """Give the canary ``version`` a share of requests and return the observed traffic."""

    def promote(self, endpoint: str, version: str, *, holder: str, lease: Lease | None = None) -> Traffic:
        """Make the canary ``version`` the stable one with all requests; the old one is drained, still up."""

    def roll_back(self, endpoint: str, version: str, *, holder: str, lease: Lease | None = None) -> Traffic:
        """Take ``version`` out of traffic at once; the stable version gets all requests."""

    def clean_up(self, endpoint: str, *, holder: str, lease: Lease | None = None) -> Traffic:
        """Stop every server of the endpoint that is neither stable nor canary."""

    def counters(self, endpoint: str) -> Counters:
        """Return requests and errors per version."""

    def url(self, endpoint: str) -> str:
        """Return the URL clients send requests to."""

    def endpoints(self) -> list[str]:
        """Return the endpoints that may have a lease: those a reaper looks after."""

    def stop_unwatched(self, endpoint: str, *, now: float) -> Lease | None:
        """Set the canary to 0 % if its lease ran out, and free the endpoint: what the reaper does.

        No earlier holder of the lease writes any more. The end is kept as a pending one of kind ``reaped``.
        At a cold start there is no other version to give its requests to: it goes on.

        :return: the lease that ran out; ``None`` when there is nothing to stop.
        """
