"""Stop a rollout at once, whoever holds the endpoint and in whatever state Airflow is.

Used by the command line, the page *Models*, its API, and a forced rollback. Imports no Airflow.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from airflow_mlops.backends.serving.protocol import Stopped
from airflow_mlops.core.errors import EndpointMissingError, InvalidConfigError, MlopsError
from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.end import EndKind, RolloutEnd
from airflow_mlops.runtime.ends import flush_ends

if TYPE_CHECKING:
    from airflow_mlops.backends.registry.rest_ledger import EndLedger
    from airflow_mlops.backends.serving.protocol import ServingBackend

LEDGER_SECONDS = 3.0
"""How long a stop waits for the ledger; the entry is written later then, by whoever flushes next."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StopReport(Record):
    """What a stop did.

    :param pending: why the ledger does not have the entry yet; empty when it has, or needs none.
    """

    stopped: Stopped
    pending: str = ""

    @property
    def did_something(self) -> bool:
        """Whether there was a canary, or a rollout that held the endpoint."""
        return self.stopped.version is not None or self.stopped.holder is not None

    @property
    def sentence(self) -> str:
        """Return what was done in one line."""
        seen = self.stopped
        serves = f"version {seen.stable} serves" if seen.stable else "nothing serves any more"
        if not self.did_something:
            serves = serves if seen.stable else "no version serves"
            return f"{seen.endpoint}: nothing to stop: no canary, and no rollout holds it; {serves}"
        canary = f"version {seen.version} stopped, {seen.percent} % → 0 %" if seen.version else "no canary"
        freed = f"; {seen.holder} no longer holds it" if seen.holder else ""
        return f"{seen.endpoint}: {canary}; {serves}{freed}"

    @property
    def ledger_sentence(self) -> str:
        """Return where the entry is; empty when there was nothing to stop."""
        if self.pending:
            return f"ledger entry pending: {self.pending}"
        return "ledger entry written" if self.did_something else ""


class LedgerWriter:
    """Writes pending ends in a thread of its own, so that a registry that hangs keeps nobody waiting."""

    def __init__(self, backend: ServingBackend, registry: EndLedger) -> None:
        self._backend, self._registry = backend, registry
        self._thread: threading.Thread | None = None
        self._problem = ""

    def flush(self, *models: str, seconds: float) -> str:
        """Write the pending ends of some endpoints, or of all; return what was in the way, empty if nothing.

        While an earlier call still waits for the registry, none is begun.

        :param seconds: how long to wait; the thread goes on afterwards. Without waiting the answer is that of
            the last call that came to an end.
        """
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._write, args=models, name="ledger", daemon=True)
            self._thread.start()
        self._thread.join(seconds)
        late = seconds > 0 and self._thread.is_alive()
        return f"no answer within {seconds:g} s" if late else self._problem

    def _write(self, *models: str) -> None:
        problem = ""
        try:
            for model in models or self._backend.endpoints():
                flush_ends(self._backend, self._registry, model)
        except Exception as error:  # noqa: BLE001 - whatever the registry raises is told, not lost
            problem = f"{type(error).__name__}: {error}"
            _log.info("not in the ledger yet: %s", problem)
        self._problem = problem


def stop_rollout(
    backend: ServingBackend,
    model: str,
    *,
    actor: str,
    reason: str,
    now: float,
    way: str = "",
    registry: EndLedger | None = None,
) -> StopReport:
    """Take the canary out of traffic, free the endpoint, then write the ledger entry; idempotent.

    Serving comes first. The registry gets ``LEDGER_SECONDS``; if it does not answer, the entry stays pending
    with the endpoint. The stopped rollout's own tasks find their lease lost and end.

    :param actor: the person, as the ledger names them.
    :param reason: why, in the person's words; required.
    :param now: seconds since the epoch.
    :param way: by which way it was asked for, as the ledger names it.
    :raises InvalidConfigError: no reason.
    :raises EndpointMissingError: the back end knows no such endpoint; names those that it knows.
    :raises MlopsError: the endpoint could not be reached; nothing is known to have changed.
    """
    if not reason.strip():
        msg = f"{model}: a stop needs a reason"
        raise InvalidConfigError(msg)
    require_endpoint(backend, model)
    about: dict[str, Any] = {"reason": reason.strip(), "actor": actor, "way": way, "at": now}
    end = RolloutEnd(id=uuid4().hex, model=model, kind=EndKind.STOPPED, **about)
    stopped = backend.stop(model, end, now=now)
    return StopReport(stopped=stopped, pending=_pending(backend, model, registry))


def require_endpoint(backend: ServingBackend, model: str) -> None:
    """Refuse an endpoint that the back end does not list; a list that cannot be read is no obstacle.

    :raises EndpointMissingError: names those that it lists.
    """
    try:
        known = backend.endpoints()
    except MlopsError as error:
        _log.info("endpoints cannot be listed: %s", error)
        return
    if model not in known:
        msg = f"no endpoint {model!r}; endpoints: {', '.join(known) or 'none'}"
        raise EndpointMissingError(msg)


def _pending(backend: ServingBackend, model: str, registry: EndLedger | None) -> str:
    """Write what is pending; return why it still is."""
    problem = ""
    if registry is not None:
        problem = LedgerWriter(backend, registry).flush(model, seconds=LEDGER_SECONDS)
        if not problem:
            return ""
    try:
        waiting = backend.pending_ends(model)
    except MlopsError as error:
        return problem or str(error)
    return (problem or "no MLflow server was given") if waiting else ""
