"""CanaryAnalysisSensor: waits until the evidence decides a rollout step."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.serving.live import keep_live
from airflow_mlops.core.rollout.live import change_of
from airflow_mlops.core.rollout.state import RolloutState
from airflow_mlops.hooks.serving import ServingHook
from airflow_mlops.links import EvidenceRunLink
from airflow_mlops.observe import analyse_window, is_news, reply
from airflow_mlops.runtime.analysis import hand_over, is_of_another_step, keep_state
from airflow_mlops.runtime.notices import NotifyingOperator, send_held_notice
from airflow_mlops.triggers.canary import CanaryAnalysisTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.core.rollout.plan import RolloutPlan


class CanaryAnalysisSensor(NotifyingOperator):
    """Waits for evidence on the canary; succeeds to advance, fails without retry to roll back.

    A step whose weights were changed from outside is held, with a message in the log, until the weights are
    as written. Whenever a step begins to wait for a person, ``notifiers`` are called at once.

    Returns the rollout state as JSON for the next step. Its windows are stored in the evidence run as
    ``canary/<percent>pct.json`` before the outcome is raised.

    :param model: registered model; also the serving endpoint. Templated.
    :param plan: plan with the thresholds.
    :param state: state returned by ``SetTrafficOperator`` or ``AskRolloutOperator``. Templated.
    :param asks: succeed also when a person has to answer, so that the next task asks; otherwise wait here.
    :param deferrable: wait on the triggerer; otherwise on the worker, with the same decision function.
    :param notifiers: called when the step begins to hold; their template fields know ``rollout``.
    """

    template_fields = ("model", "state")
    operator_extra_links = (EvidenceRunLink(),)
    ui_color = "#e6f1f2"

    def __init__(
        self,
        *,
        plan: RolloutPlan,
        state: Any,
        serving_conn_id: str = "mlops_serving",
        deferrable: bool = True,
        asks: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.plan = plan
        self.state = state
        self.serving_conn_id = serving_conn_id
        self.deferrable = deferrable
        self.asks = asks

    def execute(self, context: Context) -> dict[str, Any]:
        """Wait for the decision, on the triggerer or here."""
        state = RolloutState.from_json(self.state)
        if not state.is_open:
            return state.to_json()
        if self.deferrable:
            self._defer(state)
        return self.execute_complete(context, self._wait(state, context).to_json())

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Store the evidence, then return the state, fail with the reason, or defer again if it is held."""
        own, state = RolloutState.from_json(self.state), RolloutState.from_json(event)
        if is_of_another_step(state, own):
            self._defer(own)
        keep_state(self.mlflow_conn_id, self.model, context, state, asked=state.said is not None)
        send_held_notice(self.notifiers, self.plan, state, context, self.model, self.mlflow_conn_id)
        if state.is_open and not (self.asks and state.asks):
            self._defer(state)
        return hand_over(state)

    def _defer(self, state: RolloutState) -> None:
        trigger = CanaryAnalysisTrigger(
            serving_conn_id=self.serving_conn_id,
            endpoint=self.model,
            plan=self.plan.to_json(),
            state=state.to_json(),
            asks=self.asks,
        )
        self.defer(trigger=trigger, method_name="execute_complete")

    def _wait(self, state: RolloutState, context: Context) -> RolloutState:
        hook = ServingHook(self.serving_conn_id)
        backend = hook.backend()
        metrics = hook.metrics(self.model, backend, state.watched)
        while state.is_open and not (self.asks and state.asks):
            time.sleep(self.plan.window_seconds)
            before, now = state, time.time()
            state = analyse_window(backend, self.model, self.plan, before, now=now, metrics=metrics)
            state = reply(self.plan, state, now=now)
            keep_live(backend, self.model, self.plan, state)
            change = change_of(before, state)
            if change:
                self.log.info("%s: %s", self.model, change)
            if state.is_open and is_news(before, state, asks=self.asks):
                self.log.warning("%s", "; ".join(state.reasons))
                send_held_notice(self.notifiers, self.plan, state, context, self.model, self.mlflow_conn_id)
        return state
