"""Ends of rollouts in the ledger, each written once; which is under way; endpoints of dead ones are freed."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from airflow_mlops.core.errors import LeaseLostError, MlopsError
from airflow_mlops.core.rollout.end import EndKind, RolloutEnd
from airflow_mlops.core.rollout.state import Phase
from airflow_mlops.runtime.paths import ROLLOUT, STAGE, VERSION

if TYPE_CHECKING:
    from airflow_mlops.backends.evidence.protocol import EvidenceStore
    from airflow_mlops.backends.registry.protocol import ModelRegistry
    from airflow_mlops.backends.registry.rest_ledger import EndLedger
    from airflow_mlops.backends.serving.protocol import ServingBackend
    from airflow_mlops.core.rollout.history import RolloutHistory

_OVER = ("success", "failed")
_GONE = "deleted"
_STOPPED = "stopped"
_NOT_FOUND = 404
_NEWEST = 20
_HAND_OVER_SECONDS = 600.0
"""How long a nominated version may wait for its rollout to begin; a paused DAG must not block training."""
NOMINATED_AT = "mlops.nominated_at"
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


def rollout_under_way(registry: ModelRegistry, store: EvidenceStore, model: str, *, now: float) -> str:
    """Return which rollout of a model has begun, or is about to, and has not ended; empty if there is none.

    One whose DAG run ended or was deleted is over, whatever it left behind.
    """
    from airflow_mlops.core.release.version_status import UNDER_WAY

    ended = {end.holder for end in registry.ends(model)}
    begun = store.search(model, {STAGE: ROLLOUT}, limit=_NEWEST)
    for _, tags in begun:
        holder = f"{tags['mlops.dag_id']}/{tags['mlops.run_id']}"
        is_open = tags.get("mlops.rollout", "") in UNDER_WAY and holder not in ended
        if is_open and run_state(holder) not in (*_OVER, _GONE):
            return f"version {tags[VERSION]} by {holder}"
    rolled_out = {tags[VERSION] for _, tags in begun}
    for version in registry.versions(model)[:_NEWEST]:
        waits = now - float(version.tags.get(NOMINATED_AT, "-inf"))
        if waits < _HAND_OVER_SECONDS and version.version not in rolled_out:
            return f"version {version.version} was nominated {waits:.0f} s ago"
    return ""


def promoted_end(model: str, version: str, *, percent: int, reason: str, holder: str) -> RolloutEnd:
    """Return the end of a rollout whose version became champion."""
    about: dict[str, Any] = {"version": version, "champion": version, "percent": percent, "reason": reason}
    return _own_end(model, EndKind.PROMOTED, holder, **about)


def refused_end(
    model: str, version: str, champion: str | None, *, percent: int, reason: str, holder: str
) -> RolloutEnd:
    """Return the end of a rollout whose version must not receive traffic, or no more of it.

    :param percent: the canary's share of requests when it was refused.
    """
    about: dict[str, Any] = {"version": version, "champion": champion, "percent": percent, "reason": reason}
    return _own_end(model, EndKind.REFUSED, holder, **about)


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
    about: dict[str, Any] = {"version": version, "champion": champion, "actor": person or holder}
    about["percent"] = last.percent if last is not None else 0
    about["reason"] = history.reason if history else "its evidence cannot be read; see the tasks' logs"
    return _own_end(model, EndKind.ROLLED_BACK_BY_PERSON if person else kind, holder, **about)


def _own_end(model: str, kind: EndKind, holder: str, **about: Any) -> RolloutEnd:
    """Return an end that the rollout's own tasks write: the same id in each try, by the rollout itself."""
    own = {"id": uuid5(NAMESPACE_URL, f"{model}/{holder}").hex, "actor": holder, "at": time.time()}
    return RolloutEnd(model=model, kind=kind, holder=holder, **{**own, **about})


def claim_unless_stopped(backend: ServingBackend, registry: ModelRegistry, model: str, mine: str) -> None:
    """Claim the endpoint, also from a rollout whose run is over, unless a person stopped this one.

    A stop that comes while the endpoint is claimed counts, too: the claim is given back.

    :raises LeaseLostError: says who stopped this rollout, and why.
    :raises EndpointBusyError: another rollout holds the endpoint.
    """
    _refuse_stopped(backend, registry, model, mine)
    free_from_ended_run(backend, registry, model, mine)
    backend.claim(model, mine)
    try:
        _refuse_stopped(backend, registry, model, mine)
    except LeaseLostError:
        backend.release(model, mine)
        raise


def _refuse_stopped(backend: ServingBackend, registry: ModelRegistry, model: str, mine: str) -> None:
    """Refuse a rollout that a person stopped: a try that Airflow begins again does not bring it back.

    :raises LeaseLostError: says who stopped it, and why.
    """
    end = _known_end(backend, registry, model, mine)
    if end is not None and end.kind is EndKind.STOPPED:
        msg = f"{model}: {end.sentence}; start a new rollout to go on"
        raise LeaseLostError(msg)


def _known_end(
    backend: ServingBackend, registry: ModelRegistry, model: str, holder: str
) -> RolloutEnd | None:
    """Return how a rollout ended, a person's stop before all else; ``None`` if it has no end yet."""
    ends = [e for e in (*backend.pending_ends(model), *registry.ends(model)) if e.holder == holder]
    return min(ends, key=lambda end: end.kind is not EndKind.STOPPED, default=None)


def free_from_ended_run(backend: ServingBackend, registry: ModelRegistry, model: str, mine: str) -> None:
    """Take the endpoint from a rollout whose run was marked, deleted, or ended without releasing it.

    Its canary is set to 0 % and its end is kept as ``superseded``, unless it has one already. One that a
    person stopped claims the endpoint again only to stop servers without traffic: it gives way at once.
    Without an answer from Airflow nothing is changed: the lease decides. So it does at a cold start, where
    only the canary serves.

    :param mine: the rollout that is about to claim the endpoint, as ``dag_id/run_id``.
    """
    seen = backend.traffic(model)
    if seen.holder in (None, mine) or (seen.stable is None and seen.canary is not None):
        return
    known = _known_end(backend, registry, model, str(seen.holder))
    is_stopped = known is not None and known.kind is EndKind.STOPPED
    state = _STOPPED if is_stopped else run_state(str(seen.holder))
    if state not in (*_OVER, _GONE, _STOPPED):
        return
    reason = f"{mine} took over from {seen.holder}, whose run is {state}"
    _log.warning("%s: %s", model, reason)
    now = time.time()
    end = RolloutEnd(id=uuid4().hex, model=model, kind=EndKind.SUPERSEDED, reason=reason, actor=mine, at=now)
    backend.stop(model, None if known else end, now=now, holder=seen.holder)


def run_state(holder: str) -> str | None:
    """Return the state of a holder's run, ``deleted`` if there is none; ``None`` if Airflow does not say.

    Airflow answers only inside a task.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    dag_id, _, run_id = holder.partition("/")
    try:
        state = RuntimeTaskInstance.get_dagrun_state(dag_id, run_id)
    except AirflowRuntimeError as error:
        detail = error.error.detail or {}
        return _GONE if detail.get("status_code") == _NOT_FOUND else None
    except (ImportError, NameError):  # outside of a task
        return None
    return str(getattr(state, "value", state))  # the SDK's enumeration does not print as its value
