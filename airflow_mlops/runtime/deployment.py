"""What rollout operators do to a serving back end: bring up, restore, roll back."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.core.errors import EndpointBusyError, TrafficConflictError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.backends.registry.protocol import LedgerEntry, ModelRegistry
    from airflow_mlops.backends.serving.protocol import ServingBackend, Traffic
    from airflow_mlops.core.rollout.lease import Lease

_WRITE_SECONDS = 300.0
"""How long a promotion or a rollback keeps its lease; a reaper then stops a canary it left in traffic."""


def holder_of(context: Context) -> str:
    """Name the running rollout: the same for each of its tasks and tries."""
    dag_run = context["dag_run"]
    return f"{dag_run.dag_id}/{dag_run.run_id}"


def ledger_entry(claim: LedgerEntry, context: Context) -> LedgerEntry:
    """Return a claim signed by the running DAG run: who started it, which one it is, when.

    The person is who started the run; ``airflow`` for runs started by an asset or a schedule.
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
    """Start a registered version at 0 %; the back end keeps its own copy of the model folder."""
    with tempfile.TemporaryDirectory(prefix="mlops-model-") as folder:
        return backend.deploy(model, version, registry.download(model, version, Path(folder)), holder=holder)


def restore_champion(
    backend: ServingBackend, registry: ModelRegistry, model: str, champion: str | None, holder: str
) -> None:
    """Bring the champion into service when nothing serves (gateway lost, new machine).

    :raises TrafficConflictError: something else than the champion serves.
    """
    stable = backend.traffic(model).stable
    if stable == champion:
        return
    if stable is not None:
        msg = (
            f"{model}: version {stable} serves but the registry's champion is {champion}; set the alias or "
            "the traffic right by hand, nothing was changed"
        )
        raise TrafficConflictError(msg)
    deploy(backend, registry, model, str(champion), holder)
    backend.promote(model, str(champion), holder=holder)


def promote_version(backend: ServingBackend, model: str, version: str, holder: str) -> Traffic:
    """Give all requests to a version under a lease of its own: copies from the past promote nothing."""
    lease = backend.take_lease(model, holder, now=time.time(), seconds=_WRITE_SECONDS)
    return backend.promote(model, version, holder=holder, lease=lease)


def clean_up(backend: ServingBackend, model: str, holder: str, lease: Lease | None = None) -> Traffic:
    """Stop what is out of traffic and free the endpoint; also again, by a task cut off after it was freed."""
    try:
        backend.claim(model, holder)
    except EndpointBusyError:
        return backend.traffic(model)
    traffic = backend.clean_up(model, holder=holder, lease=lease)
    backend.release(model, holder)
    return traffic


def return_traffic(
    backend: ServingBackend, model: str, version: str, champion: str | None, holder: str
) -> Traffic:
    """Give all requests back to the champion and stop what is out of traffic.

    Claiming first brings back a gateway that died meanwhile; what another rollout holds is left alone.
    The lease that is taken keeps a copy from the past from moving traffic up again.
    """
    try:
        backend.claim(model, holder)
    except EndpointBusyError:
        return backend.traffic(model)
    traffic = backend.traffic(model)
    lease = backend.take_lease(model, holder, now=time.time(), seconds=_WRITE_SECONDS)
    if traffic.stable == version and champion not in (version, None):
        backend.promote(model, str(champion), holder=holder, lease=lease)
    elif traffic.stable != version:
        backend.roll_back(model, version, holder=holder, lease=lease)
    return clean_up(backend, model, holder, lease)
