"""Deployment steps of the rollout operators: deploy, restore the champion, promote, roll back, clean up."""

from __future__ import annotations

import logging
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.backends.registry.protocol import PROMOTION, ROLLBACK, LedgerEntry
from airflow_mlops.core.errors import (
    EndpointBusyError,
    InvalidConfigError,
    LeaseLostError,
    MlopsError,
    ModelReplacedError,
    TrafficConflictError,
)
from airflow_mlops.core.rollout.end import EndKind
from airflow_mlops.runtime.clearance import last_decision
from airflow_mlops.runtime.paths import VALIDATION_PATH, state_path

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.backends.registry.protocol import ModelRegistry
    from airflow_mlops.backends.serving.protocol import ServingBackend, Traffic
    from airflow_mlops.core.rollout.end import RolloutEnd
    from airflow_mlops.core.rollout.lease import Lease
    from airflow_mlops.core.rollout.state import RolloutState

_WRITE_SECONDS = 300.0
"""Lease of a promotion or a rollback; after it, the reaper stops a canary that was left in traffic."""
_ALL = 100
_log = logging.getLogger(__name__)


def holder_of(context: Context) -> str:
    """Return the holder's name of the running rollout: the same for each of its tasks and tries."""
    dag_run = context["dag_run"]
    return f"{dag_run.dag_id}/{dag_run.run_id}"


def ledger_entry(claim: LedgerEntry, context: Context) -> LedgerEntry:
    """Return an entry completed with actor, DAG run and time.

    The actor is the user who started the run; ``airflow`` for runs started by an asset or a schedule.
    """
    dag_run = context["dag_run"]
    return replace(
        claim,
        actor=getattr(dag_run, "triggering_user_name", None) or "airflow",
        dag_id=dag_run.dag_id,
        run_id=dag_run.run_id,
        at=time.time(),
    )


def deploy(
    backend: ServingBackend, registry: ModelRegistry, model: str, version: str, holder: str
) -> Traffic:
    """Deploy a registered version at 0 % of traffic; the back end keeps its own copy of the model folder."""
    with tempfile.TemporaryDirectory(prefix="mlops-model-") as folder:
        return backend.deploy(model, version, registry.download(model, version, Path(folder)), holder=holder)


def restore_champion(
    backend: ServingBackend, registry: ModelRegistry, model: str, champion: str | None, holder: str
) -> None:
    """Bring the champion into service if no version serves (gateway lost, new machine).

    :raises TrafficConflictError: a version other than the champion serves.
    """
    stable = backend.traffic(model).stable
    if stable == champion:
        return
    if stable is not None:
        msg = (
            f"{model}: version {stable} serves but the registry's champion is {champion}; correct the alias "
            "or the traffic manually; nothing was changed"
        )
        raise TrafficConflictError(msg)
    deploy(backend, registry, model, str(champion), holder)
    backend.promote(model, str(champion), holder=holder)


def require_champion_of_ledger(registry: ModelRegistry, model: str, champion: str | None) -> None:
    """Refuse a champion whose number the ledger gave to another model, which may still serve under it.

    :raises ModelReplacedError: the registered model was deleted and made again since.
    """
    entries = [entry for entry in registry.ledger(model) if entry.to_version == champion]
    if champion is None or not entries or entries[-1].names(registry.version(model, champion)):
        return
    msg = (
        f"{model}: the champion, version {champion}, is another model than the one that ledger entry "
        f"{entries[-1].number} made champion: the registered model was deleted and made again; nothing was "
        "changed; give the new model a name of its own, or restore a version by mlops__rollback with force"
    )
    raise ModelReplacedError(msg)


def promote_version(
    backend: ServingBackend, registry: ModelRegistry, claim: LedgerEntry, context: Context
) -> LedgerEntry:
    """Make a rollout's version champion and return the ledger's entry; idempotent.

    The canary gets all requests first, while the champion keeps its role: until the ledger has the entry, a
    stop, the reaper or the next rollout return the requests to the champion. A stop that comes while the
    ledger is written wins, too: the entry is followed by a rollback.

    :raises LeaseLostError: the rollout was stopped, or its lease has ended: it was unattended.
    """
    model, version, holder = claim.model, claim.to_version, holder_of(context)
    try:
        lease = _give_all_requests(backend, model, version, holder)
        backend.keep_lease(model, lease, now=time.time(), seconds=_WRITE_SECONDS)
        entry = registry.promote(ledger_entry(claim, context))
        backend.promote(model, version, holder=holder, lease=lease)
    except LeaseLostError:
        _settle_quietly(backend, registry, model, context)
        raise
    return entry


def _give_all_requests(backend: ServingBackend, model: str, version: str, holder: str) -> Lease:
    lease = backend.take_lease(model, holder, now=time.time(), seconds=_WRITE_SECONDS, living=True)
    if backend.traffic(model).stable not in (None, version):
        backend.set_traffic(model, version, _ALL, holder=holder, lease=lease)
    return lease


def is_promoted(registry: ModelRegistry, model: str, version: str, holder: str) -> bool:
    """Say whether a rollout's promotion is the newest entry of the ledger: an earlier try wrote it.

    That the alias is at the version is not enough: a person may have moved it.
    """
    last = registry.ledger(model)[-1:]
    return bool(last) and last[0].to_version == version and _holder(last[0]) == holder


def settled_champion(
    backend: ServingBackend, registry: ModelRegistry, model: str, context: Context
) -> str | None:
    """Return the champion, after a promotion that was stopped is taken back in the ledger.

    So is one that the reaper or a later rollout ended after it was written and before the roles changed: the
    version before serves, and becomes champion again.
    """
    champion, seen = registry.settle(model), backend.traffic(model)
    if champion in (None, seen.stable):
        return champion
    last = registry.ledger(model)[-1:]
    if not last or not _is_undone(last[0], champion, seen.stable):
        return champion
    end = _end_of(backend, registry, last[0])
    if end is None:
        return champion
    reason = f"{end.sentence}, before its promotion was complete"
    undo = LedgerEntry(
        model=model, from_version=champion, to_version=str(seen.stable), reason=reason, kind=ROLLBACK
    )
    _log.warning("%s: version %s is champion again: %s", model, seen.stable, reason)
    return registry.promote(ledger_entry(undo, context)).to_version


def _is_undone(last: LedgerEntry, champion: str | None, serves: str | None) -> bool:
    """Whether the version serves from which the newest entry promoted the champion."""
    return (
        last.kind == PROMOTION
        and last.to_version == champion
        and serves is not None
        and last.from_version == serves
    )


def _end_of(backend: ServingBackend, registry: ModelRegistry, entry: LedgerEntry) -> RolloutEnd | None:
    """Return what took a promoted version out of traffic."""
    ends = (*backend.pending_ends(entry.model), *registry.ends(entry.model))
    mine = (end for end in ends if end.holder == _holder(entry) and end.version == entry.to_version)
    return next((end for end in mine if end.kind is not EndKind.PROMOTED), None)


def _settle_quietly(backend: ServingBackend, registry: ModelRegistry, model: str, context: Context) -> None:
    try:
        settled_champion(backend, registry, model, context)
    except MlopsError as error:
        _log.warning("%s: the ledger may still name the stopped version champion: %s", model, error)


def _holder(entry: LedgerEntry) -> str:
    return f"{entry.dag_id}/{entry.run_id}"


def promotion_claim(
    model: str, state: RolloutState, registry: ModelRegistry, evidence_run: str, override: str
) -> LedgerEntry:
    """Return the ledger entry that a promotion claims, with the verdicts and the approval it rests on.

    :param override: who lifted the refusal of the version, and why; empty when it was cleared.
    """
    version = registry.version(model, state.version)
    said = last_decision(registry.decisions(model), version)
    return LedgerEntry(
        model=model,
        from_version=state.champion,
        to_version=state.version,
        reason="; ".join(state.reasons),
        verdicts=(f"{version.evidence_run}/{VALIDATION_PATH}", f"{evidence_run}/{state_path(state.percent)}"),
        approval=override or (said.sentence if said else ""),
        evidence_run=evidence_run,
    )


def require_begun(
    backend: ServingBackend, registry: ModelRegistry, model: str, version: str, holder: str
) -> None:
    """Refuse to end a rollout of a version that does not exist, and that so never began.

    :raises EndpointBusyError: no such version, and the rollout does not hold the endpoint.
    """
    try:
        registry.version(model, version)
    except InvalidConfigError as error:
        if backend.traffic(model).holder != holder:
            raise EndpointBusyError(str(error)) from error


def clean_up(backend: ServingBackend, model: str, holder: str, lease: Lease | None = None) -> Traffic:
    """Stop versions without traffic and release the endpoint; idempotent after an interrupted try.

    :raises EndpointBusyError: another rollout holds the endpoint; nothing was changed.
    """
    backend.claim(model, holder)
    traffic = backend.clean_up(model, holder=holder, lease=lease)
    backend.release(model, holder)
    return traffic


def return_traffic(
    backend: ServingBackend, model: str, version: str, champion: str | None, holder: str
) -> Traffic:
    """Route all requests back to the champion and stop versions without traffic.

    A version that the ledger has made champion stays: what its promotion lacks is completed.

    Claiming first restarts a gateway that has died; an endpoint held by another rollout is left unchanged.
    One that another copy of this task has released meanwhile is claimed again.
    The new lease keeps a stale copy of the rollout from raising the weight again.

    :raises EndpointBusyError: another rollout holds the endpoint; nothing was changed.
    """
    try:
        return _returned(backend, model, version, champion, holder)
    except EndpointBusyError:
        if backend.traffic(model).holder is not None:
            raise
        return _returned(backend, model, version, champion, holder)


def _returned(
    backend: ServingBackend, model: str, version: str, champion: str | None, holder: str
) -> Traffic:
    backend.claim(model, holder)
    traffic = backend.traffic(model)
    lease = backend.take_lease(model, holder, now=time.time(), seconds=_WRITE_SECONDS)
    if traffic.stable == version and champion not in (version, None):
        backend.promote(model, str(champion), holder=holder, lease=lease)
    elif traffic.stable != version and champion == version:
        backend.promote(model, version, holder=holder, lease=lease)
    elif traffic.stable != version:
        backend.roll_back(model, version, holder=holder, lease=lease)
    return clean_up(backend, model, holder, lease)
