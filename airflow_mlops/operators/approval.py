"""Approval operator: a person approves or rejects a candidate before it becomes a challenger."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param

from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS, PERSON, TIMEOUT, DecisionEntry
from airflow_mlops.core.errors import NotClearedError
from airflow_mlops.core.release.approval import (
    ApprovalAnswer,
    ApprovalDecision,
    Choice,
    When,
    must_ask,
    question,
)
from airflow_mlops.core.release.clearance import APPROVAL_ASKED, ReleaseGate, stale_comparison
from airflow_mlops.core.training.candidate import Candidate
from airflow_mlops.core.verdict import Verdict
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.links import EvidenceRunLink, UpdateReportLink
from airflow_mlops.operators.candidate import skip_refused
from airflow_mlops.operators.card import kept_json
from airflow_mlops.runtime.evidence import open_evidence
from airflow_mlops.runtime.failure import fail_fast
from airflow_mlops.runtime.paths import APPROVAL_PATH, UPDATE_PAGE_PATH, VALIDATION_PATH
from airflow_mlops.runtime.question import look_for_answer, retries_of_a_question, take_answer
from airflow_mlops.runtime.update_report import keep_update

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_mlops.core.validation.report import Report
    from airflow_mlops.runtime.evidence import RunEvidence

_ASKED, _ASKED_BESIDE = "mlops.approval_asked", "mlops.approval_asked_beside"
_LONGEST_COMMENT = 1000
_COMMENT = Param(
    "", type=["null", "string"], title="Comment", description="Why? Kept in the ledger.", source="task"
)
_ANSWERS = {"approve": ApprovalOperator.APPROVE, "reject": ApprovalOperator.REJECT}


class ApproveModelOperator(ApprovalOperator):
    """Asks a person to approve a candidate; a rejection skips the directly downstream tasks.

    The form shows the comparison and links to the reports. Decision and comment are stored as an entry of the
    model's ledger, in the evidence run and as tags of the version. An approval fails, and is not recorded, if
    another version became champion since the comparison. A person's decision is final for the DAG
    run: later tries reuse it. Skips, without a question, if a verdict refused the candidate. Returns an
    ``ApprovalDecision``.

    :param model: registered model. Templated.
    :param candidate: what ``TrainModelOperator`` returned. Templated.
    :param verdicts: what validation and readiness returned. Templated.
    :param card: what ``WriteModelCardOperator`` returned, for the link. Templated.
    :param when: ``required``, or ``on_warning``: only if a verdict warns.
    :param approvers: users who may answer, id to name; if empty, all users who may edit the DAG.
    :param timeout: how long the form is open.
    :param default: decision without an answer in time: ``reject`` or ``approve``.
    """

    template_fields: Sequence[str] = ("subject", "body", "model", "candidate", "verdicts", "card")
    operator_extra_links = (EvidenceRunLink(), UpdateReportLink())
    ui_color = "#ead1dc"
    retries: int

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
        kwargs["params"] = {"comment": _COMMENT}  # Airflow put the DAG's own form there
        super().__init__(
            subject="Make the candidate a challenger?",
            body="",
            defaults=_ANSWERS[default],
            assigned_users=users or None,
            response_timeout=timeout,
            **kwargs,
        )
        self.retries = retries_of_a_question(self.retries, kwargs)
        self.model = model
        self.candidate = candidate
        self.verdicts = verdicts
        self.card = card
        self.when = when

    def execute(self, context: Context) -> Any:
        """Ask, unless no approval is needed or a person answered an earlier try."""
        for one in self.verdicts:
            skip_refused(one)
        candidate = Candidate.from_json(self.candidate)
        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        if not must_ask(When(self.when), self._judged()):
            return self._keep(context, evidence, self._decision(candidate, because="no warning"))
        kept = self._answered_before(evidence, candidate)
        if kept is not None:
            return self._act(context, evidence, kept)
        if self._asked_before(evidence, candidate):
            look_for_answer(self, context["ti"].id)
        return self._ask(context, evidence)

    def execute_unless_answered(self, context: Context, event: dict[str, Any]) -> Any:
        """Use the answer that Airflow stored for an earlier try; ask again if there is none."""
        if not event:
            return self._ask(context, open_evidence(self.mlflow_conn_id, self.model, context))
        return take_answer(self, context, event)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Store the decision; a rejection skips the directly downstream tasks."""
        if "error" in event:
            return super().execute_complete(context, event)
        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        approved = event["chosen_options"] == [self.APPROVE]
        if approved:
            self._refuse_stale(evidence)
        person, at = event.get("responded_by_user") or {}, event.get("responded_at")
        decision = self._decision(
            Candidate.from_json(self.candidate),
            answer=ApprovalAnswer.APPROVED if approved else ApprovalAnswer.REJECTED,
            by=str(person.get("name") or person.get("id") or ""),
            user=str(person.get("id") or ""),
            because=TIMEOUT if event.get("timedout") or not person else PERSON,
            comment=str((event.get("params_input") or {}).get("comment") or "")[:_LONGEST_COMMENT],
            at=at.isoformat() if at else "",
        )
        self._keep(context, evidence, decision)
        super().execute_complete(context, event)
        return decision.to_json()

    def _refuse_stale(self, evidence: RunEvidence) -> None:
        """Refuse an approval whose comparison is older than the champion; nothing is recorded."""
        candidate = Candidate.from_json(self.candidate)
        report, tags = self._report(evidence), evidence.store.tags(evidence.run)
        if report is not None and report.versions:
            compared = report.versions.get(CHAMPION_ALIAS)
        elif _ASKED_BESIDE in tags:
            compared = tags[_ASKED_BESIDE] or None
        else:
            return
        with fail_fast():
            champion = MlflowHook(self.mlflow_conn_id).registry().settle(self.model)
            stale = stale_comparison(f"{self.model} version {candidate.version}", compared, champion)
            if stale:
                msg = f"not approved: {stale}; clear validate_model, and answer the question that follows"
                raise NotClearedError(msg)

    def _ask(self, context: Context, evidence: RunEvidence) -> Any:
        with fail_fast():
            candidate = Candidate.from_json(self.candidate)
            self.subject = f"Make version {candidate.version} of {self.model} a challenger?"
            choice = self._choice(evidence, candidate)
            self.body = self._question(evidence, choice)
            beside = {_ASKED: candidate.version, _ASKED_BESIDE: choice.champion or ""}
            evidence.store.set_tags(evidence.run, beside)
            asked = {ReleaseGate.APPROVAL.tag: APPROVAL_ASKED}
            MlflowHook(self.mlflow_conn_id).registry().set_tags(self.model, candidate.version, asked)
        return super().execute(context)

    def _asked_before(self, evidence: RunEvidence, candidate: Candidate) -> bool:
        """Return whether the form was shown before; the try number does not tell, see the how-to."""
        return evidence.store.tags(evidence.run).get(_ASKED) == candidate.version

    def _judged(self) -> list[Verdict]:
        return [Verdict.from_json(one) for one in self.verdicts]

    def _answered_before(self, evidence: RunEvidence, candidate: Candidate) -> ApprovalDecision | None:
        """Return a person's decision in this DAG run, if the task was killed after it was stored."""
        document = kept_json(evidence, APPROVAL_PATH)
        kept = ApprovalDecision.from_json(document) if document else None
        holds = kept is not None and kept.because == PERSON and kept.version == candidate.version
        return kept if holds else None

    def _act(self, context: Context, evidence: RunEvidence, kept: ApprovalDecision) -> dict[str, Any]:
        """Act on a stored decision; complete what an interrupted try did not write."""
        self.log.info("%s decided before: %s", kept.by, kept.answer)
        self._keep(context, evidence, kept)
        chosen = self.APPROVE if kept.answer is ApprovalAnswer.APPROVED else self.REJECT
        at, person = datetime.fromisoformat(kept.at), {"id": kept.user, "name": kept.by}
        event = {"chosen_options": [chosen], "params_input": {}, "responded_at": at}
        super().execute_complete(context, event | {"responded_by_user": person})
        return kept.to_json()

    def _decision(self, candidate: Candidate, **said: Any) -> ApprovalDecision:
        known = {"answer": ApprovalAnswer.APPROVED, **said}
        return ApprovalDecision(model=self.model, version=candidate.version, **known)

    def _keep(self, context: Context, evidence: RunEvidence, decision: ApprovalDecision) -> dict[str, Any]:
        """Store the decision as evidence, in the ledger and as tags; idempotent."""
        registry = MlflowHook(self.mlflow_conn_id).registry()
        evidence.keep(APPROVAL_PATH, decision)
        with fail_fast():
            entry = registry.decide(self._entry(context, evidence, decision))
        evidence.store.set_tags(evidence.run, {"mlops.approval": str(decision.answer)})
        tags = {
            ReleaseGate.APPROVAL.tag: str(decision.answer),
            "mlops.approval_by": decision.by or decision.because,
            "mlops.approval_comment": decision.comment,
        }
        registry.set_tags(self.model, decision.version, tags)
        keep_update(evidence, Candidate.from_json(self.candidate), context)
        if decision.answer is ApprovalAnswer.REJECTED:
            evidence.store.close(evidence.run, succeeded=True)
        self.log.info(
            "version %s: %s by %s; ledger entry %s", entry.version, entry.decision, entry.by, entry.number
        )
        return decision.to_json()

    def _entry(self, context: Context, evidence: RunEvidence, decision: ApprovalDecision) -> DecisionEntry:
        dag_run = context["dag_run"]
        return DecisionEntry(
            model=self.model,
            version=decision.version,
            decision=str(decision.answer),
            because=decision.because,
            actor=decision.by,
            user=decision.user,
            comment=decision.comment,
            dag_id=dag_run.dag_id,
            run_id=dag_run.run_id,
            at=datetime.fromisoformat(decision.at).timestamp() if decision.at else time.time(),
            verdicts=tuple(f"{evidence.run}/{path}" for path in self._paths(evidence).values()),
            evidence_run=evidence.run,
        )

    def _report(self, evidence: RunEvidence) -> Report | None:
        from airflow_mlops.core.validation.report import Report

        document = kept_json(evidence, VALIDATION_PATH)
        return Report.from_json(document) if document else None

    def _paths(self, evidence: RunEvidence) -> dict[str, str]:
        """Return the paths of verdicts and reports in the evidence run, by name."""
        paths = {one["gate"]: one["report"]["path"] for one in self.verdicts if one.get("report")}
        if kept_json(evidence, VALIDATION_PATH):
            paths["validation"] = VALIDATION_PATH
        return paths

    def _choice(self, evidence: RunEvidence, candidate: Candidate) -> Choice:
        closes = datetime.now(UTC) + (self.response_timeout or timedelta())
        return Choice(
            model=self.model,
            version=candidate.version,
            champion=MlflowHook(self.mlflow_conn_id).registry().alias(self.model, CHAMPION_ALIAS),
            default=(self.defaults or [""])[0],
            until=closes.strftime("%A %-d %B %Y, %H:%M UTC"),
            asked_before=self._asked_before(evidence, candidate),
        )

    def _question(self, evidence: RunEvidence, choice: Choice) -> str:
        paths = self._paths(evidence)
        paths["update report"] = UPDATE_PAGE_PATH
        if self.card:
            paths["model card"] = self.card["path"]
        links = {name: evidence.url_of(path) for name, path in paths.items() if evidence.url}
        return question(
            self._report(evidence), self._judged(), {"evidence run": evidence.url, **links}, choice=choice
        )
