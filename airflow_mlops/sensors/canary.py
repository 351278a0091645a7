"""CanaryAnalysisSensor: waits until a rollout step is decided on evidence."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops.backends.serving.watch import is_news, keep_lease, look, reply
from airflow_mlops.core.errors import GateFailedError
from airflow_mlops.core.rollout.machine import answer as take_answer
from airflow_mlops.core.rollout.state import Answer, RolloutState
from airflow_mlops.hooks.serving import ServingHook
from airflow_mlops.links import EvidenceRunLink
from airflow_mlops.task.evidence import open_evidence
from airflow_mlops.task.failure import fail_fast
from airflow_mlops.task.rollout_report import state_path
from airflow_mlops.triggers.canary import CanaryAnalysisTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.core.rollout.lease import Lease
    from airflow_mlops.core.rollout.plan import RolloutPlan


class CanaryAnalysisSensor(BaseOperator):
    """Waits for evidence on the canary; succeeds to advance, fails without retry to roll back.

    A step in which somebody changed the weights is held and said so in the log; it goes on when the
    weights are as written again.

    Returns the rollout state as JSON for the next step. The windows it saw are kept in the evidence run
    as ``canary/<percent>pct.json`` before the outcome is raised.

    :param model: registered model; also the serving endpoint. Templated.
    :param plan: the plan whose bars apply.
    :param state: state returned by ``SetTrafficOperator``, or by the analysis that asked. Templated.
    :param asks: succeed also when a person has to answer: the next task asks. Otherwise wait here.
    :param answer: answer returned by ``AskRolloutOperator``; ``{}`` if nothing was asked. Templated.
    :param answer_seconds: how long the next task waits for an answer; as long lasts the lease.
    :param deferrable: wait on the triggerer; otherwise on the worker, by the same decision function.
    """

    template_fields = ("model", "state", "answer")
    operator_extra_links = (EvidenceRunLink(),)
    ui_color = "#e6f1f2"

    def __init__(
        self,
        *,
        model: str,
        plan: RolloutPlan,
        state: Any,
        serving_conn_id: str = "mlops_serving",
        mlflow_conn_id: str = "mlflow_default",
        deferrable: bool = True,
        asks: bool = False,
        answer: Any = None,
        answer_seconds: float = 86400.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.plan = plan
        self.state = state
        self.serving_conn_id = serving_conn_id
        self.mlflow_conn_id = mlflow_conn_id
        self.deferrable = deferrable
        self.asks = asks
        self.answer = answer
        self.answer_seconds = answer_seconds

    def execute(self, context: Context) -> dict[str, Any]:
        """Wait for the decision, on the triggerer or here."""
        state = RolloutState.from_json(self.state)
        if not state.is_open:
            return state.to_json()
        said = self._said()
        if said is not None:
            state = take_answer(self.plan, state, said, now=time.time())
        if self.deferrable and state.is_open:
            self._defer(state)
        return self.execute_complete(context, self._wait(state, said).to_json())

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Keep the evidence, then return the state or fail with the reason; wait on if it is held."""
        state = RolloutState.from_json(event)
        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        evidence.keep(state_path(state.percent, answered=bool(self.answer)), state)
        evidence.store.log_metrics(evidence.run, {"canary_e_value": state.share.e_value}, step=state.percent)
        self._log_trace(state)
        if state.intervened:
            evidence.store.set_tags(evidence.run, {"mlops.rollout": "intervened"})
            self.log.warning("%s", "; ".join(state.reasons))
        if state.is_open and not self.asks:
            self._defer(state)
        with fail_fast():
            if state.asks:
                state = replace(state, lease=self._keep_while_asking(state))
            elif not state.may_go_on:
                msg = f"{state.decision}: {'; '.join(state.reasons)}"
                raise GateFailedError(msg)
        return replace(state, trace=()).to_json()

    def _said(self) -> Answer | None:
        return Answer.from_json(self.answer) if self.answer else None

    def _defer(self, state: RolloutState) -> None:
        trigger = CanaryAnalysisTrigger(
            serving_conn_id=self.serving_conn_id,
            endpoint=self.model,
            plan=self.plan.to_json(),
            state=state.to_json(),
            asks=self.asks,
            answer=dict(self.answer or {}),
        )
        self.defer(trigger=trigger, method_name="execute_complete")

    def _keep_while_asking(self, state: RolloutState) -> Lease | None:
        """Keep the canary's traffic for as long as a person may think."""
        backend, seconds = ServingHook(self.serving_conn_id).backend(), self.answer_seconds
        return keep_lease(
            backend, self.model, state, now=time.time(), seconds=seconds + self.plan.lease_seconds
        )

    def _wait(self, state: RolloutState, said: Answer | None) -> RolloutState:
        hook = ServingHook(self.serving_conn_id)
        backend = hook.backend()
        metrics = hook.metrics(self.model, backend, self.plan.metrics)
        while state.is_open and not (self.asks and state.asks):
            time.sleep(self.plan.window_seconds)
            before, now = state, time.time()
            state = look(backend, self.model, self.plan, before, now=now, metrics=metrics)
            state = reply(self.plan, state, said, now=now)
            if state.is_open and is_news(before, state, asks=self.asks):
                self.log.warning("%s", "; ".join(state.reasons))
        return state

    def _log_trace(self, state: RolloutState) -> None:
        for point in state.trace:
            seen = point.window
            self.log.info(
                "%d %%: canary %d/%d failed, stable %d/%d failed, e-value %.3g",
                *(point.percent, seen.canary_errors, seen.canary_requests),
                *(seen.stable_errors, seen.stable_requests, point.e_value),
            )
        self.log.info("%s: %s", state.decision, "; ".join(state.reasons))
