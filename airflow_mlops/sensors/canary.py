"""CanaryAnalysisSensor: waits until a rollout step is decided on evidence."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops.core.errors import GateFailedError
from airflow_mlops.core.rollout.machine import advance
from airflow_mlops.core.rollout.state import RolloutState
from airflow_mlops.hooks.serving import ServingHook
from airflow_mlops.links import EvidenceRunLink
from airflow_mlops.task.evidence import open_evidence
from airflow_mlops.task.failure import fail_fast
from airflow_mlops.triggers.canary import CanaryAnalysisTrigger, read_counters

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.core.rollout.plan import RolloutPlan


class CanaryAnalysisSensor(BaseOperator):
    """Waits for evidence on the canary; succeeds to advance, fails without retry to roll back.

    Returns the rollout state as JSON for the next step. The windows it saw are kept in the evidence run
    as ``canary/<percent>pct.json`` before the outcome is raised.

    :param model: registered model; also the serving endpoint. Templated.
    :param plan: the plan whose bars apply.
    :param state: state returned by ``SetTrafficOperator``. Templated.
    :param deferrable: wait on the triggerer; otherwise on the worker, by the same decision function.
    """

    template_fields = ("model", "state")
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.plan = plan
        self.state = state
        self.serving_conn_id = serving_conn_id
        self.mlflow_conn_id = mlflow_conn_id
        self.deferrable = deferrable

    def execute(self, context: Context) -> dict[str, Any]:
        """Wait for the decision, on the triggerer or here."""
        if self.deferrable:
            self.defer(
                trigger=CanaryAnalysisTrigger(
                    serving_conn_id=self.serving_conn_id,
                    endpoint=self.model,
                    plan=self.plan.to_json(),
                    state=dict(self.state),
                ),
                method_name="execute_complete",
            )
        return self.execute_complete(context, self._wait().to_json())

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Keep the evidence, then return the state or fail with the reason."""
        state = RolloutState.from_json(event)
        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        evidence.keep(f"canary/{state.percent}pct.json", state)
        evidence.store.log_metrics(evidence.run, {"canary_e_value": state.share.e_value}, step=state.percent)
        self._log_trace(state)
        with fail_fast():
            if not state.may_go_on:
                msg = f"{state.decision}: {'; '.join(state.reasons)}"
                raise GateFailedError(msg)
        return replace(state, trace=()).to_json()

    def _wait(self) -> RolloutState:
        state = RolloutState.from_json(self.state)
        hook = ServingHook(self.serving_conn_id)
        backend = hook.backend()
        metrics = hook.metrics(self.model, backend)
        while state.is_open:
            time.sleep(self.plan.window_seconds)
            reading = read_counters(backend, self.model, state, metrics)
            state = advance(self.plan, state, reading, now=time.time())
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
