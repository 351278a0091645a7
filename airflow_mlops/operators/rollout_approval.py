"""AskRolloutOperator: asks a person about a rollout; the canary is analysed while the question waits."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk.execution_time.hitl import upsert_hitl_detail

from airflow_mlops.backends.registry.protocol import ANSWER, PERSON, TIMEOUT, DecisionEntry
from airflow_mlops.core.errors import MlopsError
from airflow_mlops.core.release.clearance import stale_comparison
from airflow_mlops.core.rollout.machine import abort, answer
from airflow_mlops.core.rollout.state import Phase, RolloutAnswer, RolloutState
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.hooks.serving import ServingHook
from airflow_mlops.links import EvidenceRunLink
from airflow_mlops.observe import analyse_window
from airflow_mlops.runtime.analysis import hand_over, is_of_another_step, keep_state
from airflow_mlops.runtime.failure import fail_fast
from airflow_mlops.runtime.notices import send_held_notice
from airflow_mlops.runtime.question import look_for_answer, retries_of_a_question, take_answer
from airflow_mlops.triggers.canary import AskedRolloutTrigger

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.sdk import Context
    from airflow.sdk.execution_time.hitl import HITLUser

    from airflow_mlops.core.rollout.plan import RolloutPlan

_LONGEST_COMMENT = 1000
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
        self._ask(context, state, shown=self._as_of_now(state))
        return {}

    def _as_of_now(self, state: RolloutState) -> RolloutState:
        """Return what the question shows when it is asked again: counts of now, if they can be read."""
        try:
            return self._seen(state, now=time.time())
        except MlopsError as error:
            self.log.warning("the question shows counts of before: %s", error)
            return state

    def _ask(self, context: Context, state: RolloutState, *, shown: RolloutState | None = None) -> None:
        upsert_hitl_detail(
            ti_id=context["task_instance"].id,
            options=self.options,
            subject=f"May version {state.version} of {self.model} go on from {state.given_percent} %?",
            body=question_of(shown or state),
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
            state = self._answered(super().execute_complete(context, event), context)
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

    def _answered(self, said: dict[str, Any], context: Context) -> RolloutState:
        """Count the requests since the question was asked, then apply the answer and write it to the ledger.

        An answer to a comparison with another version than the champion goes on with nothing: it rolls back.
        """
        person = said["responded_by_user"] or {}
        by = person.get("name") or f"the default (no answer within {self.answer_within})"
        go_on, now = said["chosen_options"] == [GO_ON], time.time()
        state = RolloutState.from_json(self.state)
        stale = self._stale(state) if go_on else ""
        self._record(state, go_on=go_on, person=person, stale=stale, context=context)
        seen = self._seen(state, now=now)
        after = answer(self.plan, seen, RolloutAnswer(percent=state.percent, go_on=go_on, by=by), now=now)
        return abort(after, f"{by} agreed, but {stale}; nothing was promoted", now=now) if stale else after

    def _seen(self, state: RolloutState, *, now: float) -> RolloutState:
        """Return the state with the requests up to now."""
        hook = ServingHook(self.serving_conn_id)
        backend = hook.backend()
        metrics = hook.metrics(self.model, backend, state.watched)
        return analyse_window(backend, self.model, self.plan, state, now=now, metrics=metrics)

    def _stale(self, state: RolloutState) -> str:
        """Return why the comparison that was asked about does not hold any more."""
        with fail_fast():
            champion = MlflowHook(self.mlflow_conn_id).registry().settle(self.model)
        if champion == state.version:
            return ""
        return stale_comparison(f"version {state.version}", state.champion, champion)

    def _record(
        self, state: RolloutState, *, go_on: bool, person: dict[str, Any], stale: str, context: Context
    ) -> None:
        """Write the answer to the ledger; a registry that fails keeps no rollback waiting."""
        dag_run = context["dag_run"]
        entry = DecisionEntry(
            model=self.model,
            version=state.version,
            kind=ANSWER,
            decision=f"{(GO_ON if go_on else ROLL_BACK).lower()} at {state.given_percent} %",
            because=PERSON if person else TIMEOUT,
            actor=str(person.get("name") or person.get("id") or ""),
            user=str(person.get("id") or ""),
            comment="; ".join(filter(None, (stale and f"refused: {stale}", *state.reasons)))[
                :_LONGEST_COMMENT
            ],
            dag_id=dag_run.dag_id,
            run_id=dag_run.run_id,
            at=time.time(),
        )
        try:
            MlflowHook(self.mlflow_conn_id).registry().decide(entry)
        except MlopsError as error:
            self.log.warning("the answer is not in the ledger: %s", error)


def question_of(state: RolloutState) -> str:
    """Return the question's body as Markdown."""
    why = "waits for approval" if state.phase is Phase.WAITING_FOR_APPROVAL else "is held"
    beside = f" beside version {state.champion}" if state.champion else ", since no other version serves"
    at = datetime.fromtimestamp(state.clock, UTC).strftime("%-d %B %Y, %H:%M:%S UTC")
    lines = [
        f"Version {state.version} {why} at {state.given_percent} %{beside}:",
        "",
        *(f"- {reason}" for reason in state.reasons),
        f"- {state.step_errors} of {state.step_requests} requests failed in this step, as of {at}",
        f"- e-value against the canary: {state.share.e_value:.3g}, rolls back at {state.bar:g}",
    ]
    return "\n".join(lines)
