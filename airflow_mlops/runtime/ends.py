"""The end of a rollout in the ledger: written once per rollout, by whatever ended it first."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from airflow_mlops.core.errors import MlopsError
from airflow_mlops.core.rollout.end import EndKind, RolloutEnd
from airflow_mlops.core.rollout.state import Phase

if TYPE_CHECKING:
    from airflow_mlops.backends.registry.protocol import ModelRegistry
    from airflow_mlops.backends.registry.rest_ledger import EndLedger
    from airflow_mlops.backends.serving.protocol import ServingBackend
    from airflow_mlops.core.rollout.history import RolloutHistory

_log = logging.getLogger(__name__)


def record_end_once(registry: ModelRegistry, end: RolloutEnd) -> None:
    """Write an end to the ledger unless the rollout has one; a registry that fails changes no outcome."""
    try:
        if not any(known.holder == end.holder for known in registry.ends(end.model)):
            registry.record_end(end)
    except MlopsError as error:
        _log.warning("the end of %s is not in the ledger: %s", end.holder, error)


def flush_ends(backend: ServingBackend, registry: EndLedger, model: str) -> tuple[RolloutEnd, ...]:
    """Write an endpoint's pending ends to the ledger, oldest first, and return them; idempotent.

    What was written before an error is forgotten by the back end; the rest stays pending.

    :raises MlopsError: the registry, or the back end, does not answer.
    """
    written: list[RolloutEnd] = []
    try:
        for end in backend.pending_ends(model):
            written.append(registry.record_end(end))  # noqa: PERF401 - what comes before an error counts
    finally:
        if written:
            backend.ends_written(model, [end.id for end in written])
    return tuple(written)


def flush_ends_quietly(backend: ServingBackend, registry: ModelRegistry, model: str) -> None:
    """Write an endpoint's pending ends to the ledger; what cannot be written now stays pending."""
    try:
        flush_ends(backend, registry, model)
    except MlopsError as error:
        _log.warning("ends of rollouts of %s are not in the ledger yet: %s", model, error)


def end_of(registry: ModelRegistry, model: str, holder: str) -> RolloutEnd | None:
    """Return how a rollout was ended from outside; ``None`` if it was not, or the ledger cannot be read."""
    try:
        return next((end for end in registry.ends(model) if end.holder == holder), None)
    except MlopsError:
        return None


def promoted_end(model: str, version: str, *, percent: int, reason: str, holder: str) -> RolloutEnd:
    """Return the end of a rollout whose version became champion."""
    return RolloutEnd(
        id=_id_of(model, holder),
        model=model,
        kind=EndKind.PROMOTED,
        version=version,
        champion=version,
        reason=reason,
        actor=holder,
        percent=percent,
        holder=holder,
        at=time.time(),
    )


def refused_end(
    model: str, version: str, champion: str | None, *, percent: int, reason: str, holder: str
) -> RolloutEnd:
    """Return the end of a rollout whose version must not receive traffic, or no more of it.

    :param percent: the canary's share of requests when it was refused.
    """
    return RolloutEnd(
        id=_id_of(model, holder),
        model=model,
        kind=EndKind.REFUSED,
        version=version,
        champion=champion,
        reason=reason,
        actor=holder,
        percent=percent,
        holder=holder,
        at=time.time(),
    )


def unpromoted_end(
    model: str, version: str, champion: str | None, history: RolloutHistory | None, *, holder: str
) -> RolloutEnd:
    """Return the end of a rollout that was rolled back, or whose task failed.

    :param champion: the version that serves.
    :param history: ``None`` if the evidence cannot be read.
    """
    last = history.steps[-1] if history and history.steps else None
    by_evidence = last is not None and last.phase is Phase.ROLLED_BACK
    kind = EndKind.ROLLED_BACK if by_evidence else EndKind.FAILED
    person = last.rolled_back_by if last is not None else ""
    return RolloutEnd(
        id=_id_of(model, holder),
        model=model,
        kind=EndKind.ROLLED_BACK_BY_PERSON if person else kind,
        version=version,
        champion=champion,
        reason=history.reason if history else "its evidence cannot be read; see the tasks' logs",
        actor=person or holder,
        percent=last.percent if last is not None else 0,
        holder=holder,
        at=time.time(),
    )


def _id_of(model: str, holder: str) -> str:
    """Return the same id for each try of a rollout's last task."""
    return uuid5(NAMESPACE_URL, f"{model}/{holder}").hex
