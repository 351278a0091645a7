"""Approval operator: a person decides whether a candidate becomes a challenger."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param

from airflow_mlops.core.outcome import Verdict
from airflow_mlops.core.training.candidate import Candidate
from airflow_mlops.core.validation.approval import Answered, Decision, When, must_ask, question
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.links import EVIDENCE_URL, EvidenceRunLink
from airflow_mlops.operators.card import VALIDATION_PATH, kept_json
from airflow_mlops.operators.readiness import skip_refused
from airflow_mlops.task.evidence import open_evidence
from airflow_mlops.task.failure import fail_fast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_mlops.task.evidence import RunEvidence

APPROVAL_PATH = "approval.json"
LONGEST_COMMENT = 1000
PERSON = "person"
COMMENT = Param("", type=["null", "string"], title="Comment", source="task")
ANSWERS = {"approve": ApprovalOperator.APPROVE, "reject": ApprovalOperator.REJECT}


class ApproveModelOperator(ApprovalOperator):
    """Asks a person, with the comparison and the links in the form; rejection skips what follows directly.

    The decision and its comment are kept in the evidence run and as tags of the version; a person's holds for
    every later try in the DAG run. Skips what a verdict refused: nobody is asked about it. Returns the
    ``Decision``.

    :param model: registered model. Templated.
    :param candidate: what ``TrainModelOperator`` returned. Templated.
    :param verdicts: what validation and readiness returned. Templated.
    :param card: what ``WriteModelCardOperator`` returned, for the link. Templated.
    :param when: ``required``, or ``on_warning``: only if a verdict warns.
    :param approvers: who may answer, user id to name; whoever may edit the DAG if empty.
    :param timeout: how long the form is open.
    :param default: what holds then: ``reject`` or ``approve``.
    """

    template_fields: Sequence[str] = ("subject", "body", "model", "candidate", "verdicts", "card")
    operator_extra_links = (EvidenceRunLink(),)
    ui_color = "#ead1dc"

    def __init__(
        self,
        *,
        model: str,
        candidate: Any,
        verdicts: Any = (),
        card: Any = None,
        when: str = "required",
        approvers: Mapping[str, str] | None = None,
        timeout: timedelta = timedelta(days=7),
        default: str = "reject",
        **kwargs: Any,
    ) -> None:
        self.mlflow_conn_id = kwargs.pop("mlflow_conn_id", "mlflow_default")
        users = [{"id": one, "name": name} for one, name in (approvers or {}).items()]
        kwargs["params"] = {"comment": COMMENT}  # Airflow put the DAG's own form there
        super().__init__(
            subject="Make the candidate a challenger?",
            body="",
            defaults=ANSWERS[default],
            assigned_users=users or None,
            response_timeout=timeout,
            **kwargs,
        )
        self.model = model
        self.candidate = candidate
        self.verdicts = verdicts
        self.card = card
        self.when = when

    def execute(self, context: Context) -> Any:
        """Ask, unless nobody has to be asked."""
        for one in self.verdicts:
            skip_refused(one)
        candidate = Candidate.from_json(self.candidate)
        verdicts = [Verdict.from_json(one) for one in self.verdicts]
        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        if not must_ask(When(self.when), verdicts):
            return self._keep(evidence, self._decision(candidate, because="no warning"))
        kept = self._answered_before(evidence, candidate)
        if kept is not None:
            return self._act(context, kept)
        with fail_fast():
            self.subject = f"Make version {candidate.version} of {self.model} a challenger?"
            self.body = self._question(evidence, verdicts)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Keep the decision; a rejection skips the tasks that follow directly."""
        if "error" in event:
            return super().execute_complete(context, event)
        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        approved = event["chosen_options"] == [self.APPROVE]
        person, at = event.get("responded_by_user") or {}, event.get("responded_at")
        decision = self._decision(
            Candidate.from_json(self.candidate),
            answer=Answered.APPROVED if approved else Answered.REJECTED,
            by=str(person.get("name") or person.get("id") or ""),
            because="timeout" if event.get("timedout") or not person else PERSON,
            comment=str((event.get("params_input") or {}).get("comment") or "")[:LONGEST_COMMENT],
            at=at.isoformat() if at else "",
        )
        self._keep(evidence, decision)
        super().execute_complete(context, event)
        return decision.to_json()

    def _answered_before(self, evidence: RunEvidence, candidate: Candidate) -> Decision | None:
        """Return a person's decision in this DAG run, whose task was killed before it ended."""
        document = kept_json(evidence, APPROVAL_PATH)
        kept = Decision.from_json(document) if document else None
        holds = kept is not None and kept.because == PERSON and kept.version == candidate.version
        return kept if holds else None

    def _act(self, context: Context, kept: Decision) -> dict[str, Any]:
        """Do what a kept decision means."""
        self.log.info("%s decided before: %s", kept.by, kept.answer)
        chosen = self.APPROVE if kept.answer is Answered.APPROVED else self.REJECT
        at, person = datetime.fromisoformat(kept.at), {"id": kept.by, "name": kept.by}
        event = {"chosen_options": [chosen], "params_input": {}, "responded_at": at}
        super().execute_complete(context, event | {"responded_by_user": person})
        return kept.to_json()

    def _decision(self, candidate: Candidate, **said: Any) -> Decision:
        known = {"answer": Answered.APPROVED, **said}
        return Decision(model=self.model, version=candidate.version, **known)

    def _keep(self, evidence: RunEvidence, decision: Decision) -> dict[str, Any]:
        evidence.keep(APPROVAL_PATH, decision)
        evidence.store.set_tags(evidence.run, {"mlops.approval": str(decision.answer)})
        tags = {
            "mlops.approval": str(decision.answer),
            "mlops.approval_by": decision.by or decision.because,
            "mlops.approval_comment": decision.comment,
        }
        MlflowHook(self.mlflow_conn_id).registry().set_tags(self.model, decision.version, tags)
        if decision.answer is Answered.REJECTED:
            evidence.store.close(evidence.run, succeeded=True)
        self.log.info(
            "version %s: %s by %s", decision.version, decision.answer, decision.by or decision.because
        )
        return decision.to_json()

    def _question(self, evidence: RunEvidence, verdicts: list[Verdict]) -> str:
        from airflow_mlops.core.validation.report import Report

        document = kept_json(evidence, VALIDATION_PATH)
        report = Report.from_json(document) if document else None
        run_url = getattr(self, EVIDENCE_URL, "")
        paths = {one["gate"]: one["report"]["path"] for one in self.verdicts if one.get("report")}
        if report:
            paths["validation"] = VALIDATION_PATH
        if self.card:
            paths["model card"] = self.card["path"]
        links = {name: f"{run_url}/artifacts/{quote(path)}" for name, path in paths.items() if run_url}
        return question(report, verdicts, {"evidence run": run_url, **links})
