"""Rollout notices through Airflow's notifiers, sent once each; a failing notifier never affects a rollout."""

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
from airflow_mlops.runtime.evidence import open_evidence
from airflow_mlops.runtime.paths import notice_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import BaseNotifier, Context

    from airflow_mlops.core.rollout.plan import RolloutPlan
    from airflow_mlops.core.rollout.state import RolloutState
    from airflow_mlops.runtime.evidence import RunEvidence

_LONGEST_SECONDS = 30.0
"""Time limit of all notifiers together; far below a lease, which is not renewed while they run."""

_logger = logging.getLogger(__name__)


class NotifyingOperator(BaseOperator):
    """A task of a rollout that sends notices.

    :param model: registered model; also the serving endpoint. Templated.
    :param notifiers: Airflow notifiers; their template fields can use ``rollout``, a ``Notice``.
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

    def notify(self, event: Event, context: Context, *, report: str = "", **said: Any) -> None:
        """Send a notice of an event.

        :param report: path of a report in the evidence run, to link to.
        :param said: further fields of the ``Notice``.
        """
        notice = Notice(event=event, model=self.model, **said)
        send_notice(self.notifiers, notice, context, mlflow_conn_id=self.mlflow_conn_id, report=report)


def send_notice(
    notifiers: Sequence[BaseNotifier],
    notice: Notice,
    context: Context,
    *,
    mlflow_conn_id: str,
    report: str = "",
    within: float = _LONGEST_SECONDS,
) -> None:
    """Send a notice once through each notifier; a failure is logged as a warning and changes nothing.

    Deliveries are recorded in the evidence run as ``notices/<attempt>_<event>.json``, so that a retry sends
    only the missing ones. Clearing tasks of the run starts a new attempt.

    :param report: path of a report in the evidence run, to link to.
    :param within: time limit in seconds for all notifiers; the task does not wait for slower ones.
    """
    if not notifiers:
        return
    evidence = _evidence(mlflow_conn_id, notice.model, context)
    said = replace(notice, links=_links(context, evidence, report))
    words = {**said.to_json(), "subject": said.subject, "text": said.text}
    path = notice_path(getattr(context["dag_run"], "clear_number", None) or 0, said.key)
    delivered, sendings = _delivered(evidence, path), {}
    for number, notifier in enumerate(notifiers, start=1):
        name = f"{number} {type(notifier).__name__}"
        if name not in delivered:
            sendings[name] = _Sending(notifier, cast("Context", {**context, "rollout": words}))
    ends = time.monotonic() + within
    for name, sending in sendings.items():
        problem = sending.problem(ends - time.monotonic())
        if problem:
            _logger.warning("notifier %s did not deliver %r: %s", name, said.subject, problem)
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
    """Send a notice if a step waits for a person, in at most a third of the lease, which is not renewed."""
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
    """A notifier running in its own thread, because one that hangs would let the canary's lease expire.

    A copy runs, because rendering its templates modifies the notifier.
    """

    def __init__(self, notifier: BaseNotifier, context: Context) -> None:
        self._said = "no answer in time"
        self._notifier, self._context = copy.copy(notifier), context
        self._thread = threading.Thread(target=self._work, name="mlops-notifier", daemon=True)
        self._thread.start()

    def problem(self, seconds: float) -> str:
        """Wait for the notifier and return its error; empty if the notice was sent."""
        self._thread.join(max(seconds, 0.0))
        return self._said

    def _work(self) -> None:
        try:
            self._notifier(self._context)
            self._said = ""
        except BaseException as error:  # noqa: BLE001 - foreign code must not stop the rollout
            self._said = f"{type(error).__name__}: {error}"


def _evidence(mlflow_conn_id: str, model: str, context: Context) -> RunEvidence | None:
    try:
        return open_evidence(mlflow_conn_id, model, context)
    except Exception as error:  # noqa: BLE001 - the notice is sent even if the store is down
        _logger.warning("no evidence run, a retry may send notices again: %s", error)
        return None


def _delivered(evidence: RunEvidence | None, path: str) -> list[str]:
    """Return the notifiers that delivered a notice; empty if unknown: a duplicate is better than none."""
    if evidence is None:
        return []
    try:
        return list(evidence.store.read_json(evidence.run, path).get("delivered", ()))
    except InvalidRecordError:
        return []
    except Exception as error:  # noqa: BLE001 - must not stop the rollout
        _logger.warning("cannot read the deliveries of %s: %s", path, error)
        return []


def _keep(evidence: RunEvidence | None, path: str, document: dict[str, Any]) -> None:
    if evidence is None:
        return
    try:
        evidence.keep(path, document)
    except Exception as error:  # noqa: BLE001 - must not stop the rollout
        _logger.warning("cannot record the delivery of %s, a retry may send it again: %s", path, error)


def _links(context: Context, evidence: RunEvidence | None, report: str) -> dict[str, str]:
    run = context["dag_run"]
    base = (conf.get("api", "base_url", fallback="") or "").rstrip("/")
    return {
        "run": f"{base}/dags/{run.dag_id}/runs/{run.run_id}" if base else "",
        "log": getattr(context.get("ti"), "log_url", ""),
        "evidence": evidence.url if evidence else "",
        "report": evidence.url_of(report) if evidence and report else "",
    }
