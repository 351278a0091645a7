"""AskRolloutOperator: puts a rollout's question to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator

from airflow_mlops.core.rollout.state import Answer, Phase, RolloutState

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.sdk import Context
    from airflow.sdk.execution_time.hitl import HITLUser

GO_ON, ROLL_BACK = "Go on", "Roll back"


class AskRolloutOperator(HITLOperator):
    """Asks whether a rollout that waits for a person may go on; asks nothing when it does not wait.

    Returns the answer as JSON, ``{}`` if nothing was asked. Nobody's answer in time is *roll back*.

    :param model: registered model. Templated.
    :param state: state returned by ``CanaryAnalysisSensor``. Templated.
    :param answer_within: how long the question waits.
    :param approvers: who may answer; whoever may edit the DAG if ``None``.
    """

    template_fields = ("model", "state")

    def __init__(
        self,
        *,
        model: str,
        state: Any,
        answer_within: timedelta,
        approvers: list[HITLUser] | None = None,
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
        self.model = model
        self.state = state

    def execute(self, context: Context) -> dict[str, Any]:
        """Ask if there is something to ask."""
        state = RolloutState.from_json(self.state)
        if not state.asks:
            return {}
        self.subject = f"May version {state.version} of {self.model} go on from {state.percent} %?"
        self.body = question_of(state)
        super().execute(context)
        return {}

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Return what was answered, and by whom."""
        said = super().execute_complete(context, event)
        by = (said["responded_by_user"] or {}).get("name") or f"nobody within {self.response_timeout}"
        answer = Answer(
            percent=RolloutState.from_json(self.state).percent,
            go_on=said["chosen_options"] == [GO_ON],
            by=by,
        )
        return answer.to_json()


def question_of(state: RolloutState) -> str:
    """Return as Markdown what a person has to know."""
    why = "waits for approval" if state.phase is Phase.WAITING_FOR_APPROVAL else "is held"
    lines = [
        f"Version {state.version} {why} at {state.percent} % beside version {state.champion or 'none'}:",
        "",
        *(f"- {reason}" for reason in state.reasons),
        f"- {state.step_errors} of {state.step_requests} requests failed in this step",
        f"- e-value against the canary: {state.share.e_value:.3g}",
    ]
    return "\n".join(lines)
