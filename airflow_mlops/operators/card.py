"""Model card operator: documents a candidate before it may be released."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.errors import CardIncompleteError, InvalidRecordError
from airflow_mlops.core.release.card import Statement
from airflow_mlops.core.release.clearance import ReleaseGate
from airflow_mlops.core.training.candidate import Candidate
from airflow_mlops.core.verdict import Outcome
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.hooks.storage import read_text
from airflow_mlops.operators.candidate import CandidateOperator, skip_refused
from airflow_mlops.runtime.evidence import note_report, open_evidence
from airflow_mlops.runtime.failure import fail_fast
from airflow_mlops.runtime.paths import (
    CARD_PAGE_PATH,
    CARD_PATH,
    CARD_TEXT_PATH,
    READINESS_PATH,
    VALIDATION_PATH,
)
from airflow_mlops.runtime.update_report import keep_update

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_mlops.core.release.card import CardFacts
    from airflow_mlops.runtime.evidence import RunEvidence


class WriteModelCardOperator(CandidateOperator):
    """Writes the model card of a candidate as Markdown, HTML and JSON into its MLflow run.

    Measured sections come from the evidence of training, validation and readiness; people write the others.
    Stores the card, then fails without retry if a required section is empty. Skips if validation refused the
    candidate. Returns the card's location.

    :param model: registered model. Templated.
    :param candidate: what ``TrainModelOperator`` returned. Templated.
    :param verdict: what ``ValidateModelOperator`` returned; ``None`` to write a card anyway. Templated.
    :param schema: path or URI of the YAML suite, for its name and digest. Templated.
    :param statement: sections written by people.
    :param required: names of sections that must be filled.
    """

    template_fields = (*CandidateOperator.template_fields, "schema")

    def __init__(
        self,
        *,
        schema: str = "",
        statement: Statement | None = None,
        required: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.schema = schema
        self.statement = statement
        self.required = required

    def execute(self, context: Context) -> dict[str, str]:
        """Write the card, then fail if a required section is empty."""
        from airflow_mlops.backends.reporting.page import render_card
        from airflow_mlops.core.release.card import card_of

        skip_refused(self.verdict)
        candidate = Candidate.from_json(self.candidate)
        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        with fail_fast():
            card = card_of(self._facts(candidate, evidence))
            texts = {CARD_TEXT_PATH: card.markdown(), CARD_PAGE_PATH: render_card(card)}
            for run in {evidence.run, candidate.evidence_run}:
                evidence.store.write_json(run, CARD_PATH, card.to_json())
                for path, text in texts.items():
                    evidence.store.write_text(run, path, text)
            kept = note_report(evidence, CARD_PAGE_PATH, context)
            keep_update(evidence, candidate, context)
            try:
                card.require(tuple(self.required))
            except CardIncompleteError:
                self._record(candidate, Outcome.FAIL)
                evidence.store.close(evidence.run, succeeded=False)
                raise
            self._record(candidate, Outcome.PASS)
        return kept

    def _record(self, candidate: Candidate, outcome: Outcome) -> None:
        """Record with the version whether its card is complete: a rollout asks for it."""
        registry = MlflowHook(self.mlflow_conn_id).registry()
        registry.set_tags(self.model, candidate.version, {ReleaseGate.CARD.tag: str(outcome)})

    def _facts(self, candidate: Candidate, evidence: RunEvidence) -> CardFacts:
        from airflow_mlops.core.release.card import CardFacts
        from airflow_mlops.core.release.readiness import ReadinessMeasurements
        from airflow_mlops.core.validation.report import Report

        report, tried = kept_json(evidence, VALIDATION_PATH), kept_json(evidence, READINESS_PATH)
        registry = MlflowHook(self.mlflow_conn_id).registry()
        return CardFacts(
            candidate=candidate,
            report=Report.from_json(report) if report else None,
            readiness=ReadinessMeasurements.from_json(tried["measured"]) if tried else None,
            tags=registry.version(self.model, candidate.version).tags,
            schema=_schema_facts(self.schema) if self.schema else {},
            statement=self.statement or Statement(),
        )


def kept_json(evidence: RunEvidence, path: str) -> dict[str, Any] | None:
    """Return a document of the run; ``None`` if no task stored it."""
    try:
        return evidence.store.read_json(evidence.run, path)
    except InvalidRecordError:
        return None


def _schema_facts(path: str) -> dict[str, str]:
    from airflow_mlops.backends.rules.schema_file import parse_schema

    text = read_text(path)
    schema = parse_schema(text, path)
    digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    facts = {"Suite": schema.name, "Version": str(schema.meta.get("version", "")), "Digest": digest}
    return {name: value for name, value in facts.items() if value} | {
        "Rules": str(len(schema.expectations)),
        "Place": path,
    }
