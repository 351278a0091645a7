"""Tells people what a rollout does, through Airflow's notifiers; never in the way of what it does."""

from __future__ import annotations

import copy
import logging
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseOperator, conf

from airflow_mlops.core.errors import InvalidRecordError
from airflow_mlops.core.rollout.notice import Event, Notice
from airflow_mlops.links import EVIDENCE_URL, REPORT_URL
from airflow_mlops.runtime.evidence import open_evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import BaseNotifier, Context

    from airflow_mlops.core.rollout.plan import RolloutPlan
    from airflow_mlops.core.rollout.state import RolloutState
    from airflow_mlops.runtime.evidence import RunEvidence

_LONGEST_SECONDS = 30.0
"""How long notifiers may take; far below a lease, which nobody renews meanwhile."""

_logger = logging.getLogger(__name__)


class NotifyingOperator(BaseOperator):
    """A task of a rollout that tells people what happens.

    :param model: registered model; also the serving endpoint. Templated.
    :param notifiers: who is told; their template fields know ``rollout``, a ``Notice``.
    """

    def __init__(
        self,
        *,
        model: str,
        mlflow_conn_id: str = "mlflow_default",
        notifiers: Sequence[BaseNotifier] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.mlflow_conn_id = mlflow_conn_id
        self.notifiers = tuple(notifiers)

    def notify(self, event: Event, context: Context, **said: Any) -> None:
        """Say what happened.

        :param said: what else a ``Notice`` knows of it.
        """
        notice = Notice(event=event, model=self.model, **said)
        send_notice(self.notifiers, notice, context, mlflow_conn_id=self.mlflow_conn_id)


def send_notice(
    notifiers: Sequence[BaseNotifier],
    notice: Notice,
    context: Context,
    *,
    mlflow_conn_id: str,
    within: float = _LONGEST_SECONDS,
) -> None:
    """Send a notice once through each notifier; what goes wrong is a warning and nothing else.

    What was delivered is kept in the evidence run as ``notices/<attempt>_<event>.json``, so a retry sends
    only what was not. An attempt ends when somebody clears tasks of the run.

    :param within: seconds all of them together may take; whoever needs longer is left to itself.
    """
    if not notifiers:
        return
    evidence = _evidence(mlflow_conn_id, notice.model, context)
    said = replace(notice, links=_links(context))
    words = {**said.to_json(), "subject": said.subject, "text": said.text}
    path = f"notices/{getattr(context['dag_run'], 'clear_number', None) or 0}_{said.key}.json"
    delivered, sendings = _delivered(evidence, path), {}
    for number, notifier in enumerate(notifiers, start=1):
        name = f"{number} {type(notifier).__name__}"
        if name not in delivered:
            sendings[name] = _Sending(notifier, cast("Context", {**context, "rollout": words}))
    ends = time.monotonic() + within
    for name, sending in sendings.items():
        problem = sending.problem(ends - time.monotonic())
        if problem:
            _logger.warning("notifier %s did not tell that %s: %s", name, said.subject, problem)
            continue
        delivered.append(name)
        _keep(evidence, path, {**words, "delivered": delivered})


def send_held_notice(
    notifiers: Sequence[BaseNotifier],
    plan: RolloutPlan,
    state: RolloutState,
    context: Context,
    model: str,
    mlflow_conn_id: str,
) -> None:
    """Say that a step waits for a person, if it does; within a third of the lease, which nobody renews."""
    if not state.asks or state.approved_by:
        return
    notice = Notice(
        event=Event.HELD,
        model=model,
        version=state.version,
        champion=state.champion,
        step=plan.percents.index(state.percent) + 1,
        weight=state.percent,
        reason="; ".join(state.reasons),
        occasion=state.holds,
    )
    within = min(_LONGEST_SECONDS, plan.lease_seconds / 3)
    send_notice(notifiers, notice, context, mlflow_conn_id=mlflow_conn_id, within=within)


class _Sending:
    """A notifier at work in a thread of its own: one that hangs would let the canary's lease run out.

    It is a copy that works: rendering writes into the notifier.
    """

    def __init__(self, notifier: BaseNotifier, context: Context) -> None:
        self._said = "no answer in time"
        self._notifier, self._context = copy.copy(notifier), context
        self._thread = threading.Thread(target=self._work, name="mlops-notifier", daemon=True)
        self._thread.start()

    def problem(self, seconds: float) -> str:
        """Wait and return what went wrong, nothing if the notice was sent."""
        self._thread.join(max(seconds, 0.0))
        return self._said

    def _work(self) -> None:
        try:
            self._notifier(self._context)
            self._said = ""
        except BaseException as error:  # noqa: BLE001 - somebody else's code, and the rollout goes on
            self._said = f"{type(error).__name__}: {error}"


def _evidence(mlflow_conn_id: str, model: str, context: Context) -> RunEvidence | None:
    try:
        return open_evidence(mlflow_conn_id, model, context)
    except Exception as error:  # noqa: BLE001 - a store that is down is no reason to keep people in the dark
        _logger.warning("no evidence run, a retry may tell people again: %s", error)
        return None


def _delivered(evidence: RunEvidence | None, path: str) -> list[str]:
    """Return who has had a notice; nobody when that cannot be known: told twice is better than never."""
    if evidence is None:
        return []
    try:
        return list(evidence.store.read_json(evidence.run, path).get("delivered", ()))
    except InvalidRecordError:
        return []
    except Exception as error:  # noqa: BLE001 - the rollout goes on without
        _logger.warning("cannot read whether %s was told: %s", path, error)
        return []


def _keep(evidence: RunEvidence | None, path: str, document: dict[str, Any]) -> None:
    if evidence is None:
        return
    try:
        evidence.keep(path, document)
    except Exception as error:  # noqa: BLE001 - the rollout goes on without
        _logger.warning("cannot note that %s was told, a retry may tell it again: %s", path, error)


def _links(context: Context) -> dict[str, str]:
    task, run = context["task"], context["dag_run"]
    base = (conf.get("api", "base_url", fallback="") or "").rstrip("/")
    return {
        "run": f"{base}/dags/{run.dag_id}/runs/{run.run_id}" if base else "",
        "log": getattr(context.get("ti"), "log_url", ""),
        "evidence": getattr(task, EVIDENCE_URL, ""),
        "report": getattr(task, REPORT_URL, ""),
    }
