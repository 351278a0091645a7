"""Endpoints held by a DAG run that is over: Airflow knows it before the run's lease ends."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING
from uuid import uuid4

from airflow.sdk.exceptions import AirflowRuntimeError

from airflow_mlops.core.rollout.end import EndKind, RolloutEnd

if TYPE_CHECKING:
    from airflow_mlops.backends.serving.protocol import ServingBackend

_OVER = ("success", "failed")
_GONE = "deleted"
_NOT_FOUND = 404
_log = logging.getLogger(__name__)


def free_from_ended_run(backend: ServingBackend, model: str, mine: str) -> None:
    """Take the endpoint from a rollout whose run was marked, deleted, or ended without releasing it.

    Its canary is set to 0 % and its end is kept as ``superseded``. Without an answer from Airflow nothing is
    changed: the lease decides. So it does at a cold start, where only the canary serves.

    :param mine: the rollout that is about to claim the endpoint, as ``dag_id/run_id``.
    """
    seen = backend.traffic(model)
    if seen.holder in (None, mine) or (seen.stable is None and seen.canary is not None):
        return
    state = run_state(str(seen.holder))
    if state not in (*_OVER, _GONE):
        return
    reason = f"{mine} took over from {seen.holder}, whose run is {state}"
    _log.warning("%s: %s", model, reason)
    now = time.time()
    end = RolloutEnd(id=uuid4().hex, model=model, kind=EndKind.SUPERSEDED, reason=reason, actor=mine, at=now)
    backend.stop(model, end, now=now)


def run_state(holder: str) -> str | None:
    """Return the state of a holder's run, ``deleted`` if there is none; ``None`` if Airflow does not say.

    Airflow answers only inside a task.
    """
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
