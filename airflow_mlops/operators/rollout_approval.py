"""AskRolloutOperator: asks a person about a rollout; the canary is analysed while the question waits."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk.execution_time.hitl import upsert_hitl_detail

from airflow_mlops.core.rollout.machine import answer
from airflow_mlops.core.rollout.state import Phase, RolloutAnswer, RolloutState
from airflow_mlops.hooks.serving import ServingHook
from airflow_mlops.links import EvidenceRunLink
from airflow_mlops.observe import analyse_window
from airflow_mlops.runtime.analysis import hand_over, is_of_another_step, keep_state
from airflow_mlops.runtime.notices import send_held_notice
from airflow_mlops.runtime.question import look_for_answer, retries_of_a_question, take_answer
from airflow_mlops.triggers.canary import AskedRolloutTrigger

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.sdk import Context
    from airflow.sdk.execution_time.hitl import HITLUser

    from airflow_mlops.core.rollout.plan import RolloutPlan

GO_ON, ROLL_BACK = "Go on", "Roll back"


class AskRolloutOperator(HITLOperator):
    """Asks whether a rollout that waits for a person may continue; does nothing if it does not wait.

    While the question waits, the triggerer keeps analysing the canary: it renews the lease, and a failing
    canary is rolled back without an answer. No answer in time means *roll back*. Returns the state as JSON;
    fails without retry to roll back.

    :param model: registered model; also the serving endpoint. Templated.
    :param plan: the rollout's plan.
    :param state: state returned by ``CanaryAnalysisSensor``. Templated.
    :param answer_within: how long the question waits.
    :param approvers: users who may answer; if ``None``, all users who may edit the DAG.
    :param notifiers: notifiers used if the rollout is held again, by an intervention for instance.
    """

    template_fields = ("model", "state")
    operator_extra_links = (EvidenceRunLink(),)
    retries: int

    def __init__(
        self,
        *,
        model: str,
        plan: RolloutPlan,
        state: Any,
        answer_within: timedelta,
        approvers: list[HITLUser] | None = None,
        serving_conn_id: str = "mlops_serving",
        mlflow_conn_id: str = "mlflow_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            subject=f"May the rollout of {model} go on?",
            options=[GO_ON, ROLL_BACK],
            defaults=ROLL_BACK,
            response_timeout=answer_within,
            assigned_users=approvers,
            **kwargs,
        )
        self.retries = retries_of_a_question(self.retries, kwargs)
        self.model = model
        self.plan = plan
        self.state = state
        self.answer_within = answer_within
        self.serving_conn_id = serving_conn_id
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Ask if the rollout waits for a person."""
        state = RolloutState.from_json(self.state)
        if not state.asks:
            return state.to_json()
        ti = context["task_instance"]
        if ti.try_number > 1:  # Airflow may have dropped an answer
            look_for_answer(self, ti.id)
        self._ask(context, state)
        return {}

    def execute_unless_answered(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Use the answer that Airflow stored for an earlier try, if it was given to this question."""
        state = RolloutState.from_json(self.state)
        if event and datetime.fromisoformat(event["responded_at"]).timestamp() >= state.clock:
            concluded: dict[str, Any] = take_answer(self, context, event)
            return concluded
        self._ask(context, state)
        return {}

    def _ask(self, context: Context, state: RolloutState) -> None:
        upsert_hitl_detail(
            ti_id=context["task_instance"].id,
            options=self.options,
            subject=f"May version {state.version} of {self.model} go on from {state.percent} %?",
            body=question_of(state),
            defaults=self.defaults,
            params={},
            assigned_users=self.assigned_users,
        )
        until = time.time() + self.answer_within.total_seconds()
        self._watch(state, str(context["task_instance"].id), until)

    def execute_complete(
        self, context: Context, event: dict[str, Any], *, until: float = 0.0
    ) -> dict[str, Any]:
        """Apply the answer, or the canary's state if that was decided before an answer."""
        if "phase" in event:
            own, state = RolloutState.from_json(self.state), RolloutState.from_json(event)
            if is_of_another_step(state, own):
                self._watch(own, str(context["task_instance"].id), until)
        else:
            state = self._answered(super().execute_complete(context, event))
        keep_state(self.mlflow_conn_id, self.model, context, state, asked=True)
        send_held_notice(self.notifiers, self.plan, state, context, self.model, self.mlflow_conn_id)
        if state.asks and state.said is None:
            self._watch(state, str(context["task_instance"].id), until)
        return hand_over(state, traced=True)

    def _watch(self, state: RolloutState, ti_id: str, until: float) -> None:
        trigger = AskedRolloutTrigger(
            serving_conn_id=self.serving_conn_id,
            endpoint=self.model,
            plan=self.plan.to_json(),
            state=state.to_json(),
            ti_id=ti_id,
            until=until,
            options=self.options,
        )
        self.defer(trigger=trigger, method_name="execute_complete", kwargs={"until": until})

    def _answered(self, said: dict[str, Any]) -> RolloutState:
        """Count the requests since the question was asked, then apply the answer."""
        by = (said["responded_by_user"] or {}).get(
            "name"
        ) or f"the default (no answer within {self.answer_within})"
        go_on, now = said["chosen_options"] == [GO_ON], time.time()
        hook, state = ServingHook(self.serving_conn_id), RolloutState.from_json(self.state)
        backend = hook.backend()
        metrics = hook.metrics(self.model, backend, state.watched)
        seen = analyse_window(backend, self.model, self.plan, state, now=now, metrics=metrics)
        return answer(self.plan, seen, RolloutAnswer(percent=state.percent, go_on=go_on, by=by), now=now)


def question_of(state: RolloutState) -> str:
    """Return the question's body as Markdown."""
    why = "waits for approval" if state.phase is Phase.WAITING_FOR_APPROVAL else "is held"
    lines = [
        f"Version {state.version} {why} at {state.percent} % beside version {state.champion or 'none'}:",
        "",
        *(f"- {reason}" for reason in state.reasons),
        f"- {state.step_errors} of {state.step_requests} requests failed in this step",
        f"- e-value against the canary: {state.share.e_value:.3g}",
    ]
    return "\n".join(lines)
