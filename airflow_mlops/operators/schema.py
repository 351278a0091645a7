"""Schema operators: propose changes inferred from data, ask a person, write the accepted ones."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.nouns import with_noun
from airflow_mlops.hooks.storage import filesystem_of, is_local, path_of, read_text, write_text
from airflow_mlops.operators.data import DataOperator
from airflow_mlops.runtime.evidence import evidence_key, keep_report, open_evidence
from airflow_mlops.runtime.failure import fail_fast
from airflow_mlops.runtime.paths import SCHEMA_DIFF_PATH
from airflow_mlops.runtime.profiles import StoredProfiles
from airflow_mlops.runtime.question import look_for_answer, retries_of_a_question, take_answer

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.core.data.profile.profile import Profile
    from airflow_mlops.core.data.schema.diff import Change, SchemaDiff
    from airflow_mlops.runtime.evidence import RunEvidence

_MOST_BYTES_SHOWN = 8_000
_ALL, _NEEDED = "all", "needed"


class ProposeSchemaOperator(DataOperator):
    """Compares a schema with the one inferred from a partition; skips if there is nothing to accept.

    Returns the number of changes and their description as Markdown; the full report has them all.

    :param schema: path or URI of the YAML suite. Templated.
    :param uri: dataset. Templated.
    :param partition: partition to infer from; the newest if empty. Its stored profile is used if there is
        one. Templated.
    :param changes: ``all``, ``needed`` (those without which the partition fails), or ids, a list or
        separated by commas; ``needed`` if empty. Templated.
    """

    template_fields = (*DataOperator.template_fields, "schema", "uri", "partition", "changes")

    def __init__(
        self,
        *,
        schema: str,
        uri: str,
        partition: str | None = None,
        changes: str | list[str] | None = _NEEDED,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.schema = schema
        self.uri = uri
        self.partition = partition
        self.changes = changes

    def execute(self, context: Context) -> dict[str, Any]:
        """Compare, store the proposal, return it or skip."""
        from airflow_mlops.backends.rules.schema_file import parse_schema
        from airflow_mlops.core.data.schema.diff import diff_from_data

        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        with fail_fast():
            text = read_text(self.schema)
            found = diff_from_data(parse_schema(text, self.schema), self._profile(evidence, context))
            accepted = found.pick(self._wanted(found))
        proposal = {"schema_sha256": _digest(text), "diff": found.to_json(), "ids": [c.id for c in accepted]}
        keep_report(evidence, SCHEMA_DIFF_PATH, proposal, context)
        if not accepted:
            evidence.store.close(evidence.run, succeeded=True)
            msg = f"{self.schema}: nothing to accept, {with_noun(len(found.changes), 'change')} found"
            raise AirflowSkipException(msg)
        return {"changes": len(accepted), "of": len(found.changes), "text": _changes_as_markdown(accepted)}

    def _profile(self, evidence: RunEvidence, context: Context) -> Profile:
        from airflow_mlops.backends.profiling.files.dataset import list_partitions

        known = [self.partition] if self.partition else list_partitions(self.uri, filesystem_of(self.uri))
        if not known:
            msg = f"{self.uri}: no partitions, allowed: one or more"
            raise InvalidConfigError(msg)
        key = evidence_key(self.model, context)
        stored = StoredProfiles(store=evidence.store, model=self.model, run=key)
        found, left_out = stored.gathered(self.uri, known[-1:], None)
        if not found:
            raise InvalidConfigError("; ".join(left_out.values()))
        return found[0]

    def _wanted(self, found: SchemaDiff) -> list[str]:
        """Return the ids of the changes that are to be accepted."""
        if self.changes == _ALL:
            return [change.id for change in found.changes]
        if not self.changes or self.changes == _NEEDED:
            return [change.id for change in found.changes if change.needed]
        named = self.changes.split(",") if isinstance(self.changes, str) else self.changes
        return [name.strip() for name in named if name.strip()]


class ApproveSchemaOperator(ApprovalOperator):
    """Asks a person to accept changes of a schema; recovers an answer that Airflow dropped.

    Its arguments are those of Airflow's ``ApprovalOperator``; two retries by default. Fails without a retry
    if there is no answer in time.
    """

    retries: int

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.retries = retries_of_a_question(self.retries, kwargs)

    def execute(self, context: Context) -> Any:
        """Look up the answer to an earlier try; asking again would delete it."""
        look_for_answer(self, context["ti"].id)

    def execute_unless_answered(self, context: Context, event: dict[str, Any]) -> Any:
        """Use the answer that Airflow stored, or ask."""
        return take_answer(self, context, event) if event else super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Return the answer and its author; a rejection skips the directly downstream tasks."""
        if event.get("error_type") == "timeout":
            msg = f"{self.subject} No answer within {self.response_timeout}; nothing was written"
            raise AirflowFailException(msg)
        return super().execute_complete(context, event)


class AcceptSchemaOperator(DataOperator):
    """Writes the proposed changes into the schema and preserves comments; stores the text before and after.

    A schema that changed since the comparison is not modified. A retry after the write detects the written
    text and succeeds.

    :param schema: path or URI of the YAML suite. Templated.
    :param decision: what the approval returned; it names the approver. Templated.
    """

    template_fields = (*DataOperator.template_fields, "schema", "decision")

    def __init__(self, *, schema: str, decision: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.schema = schema
        self.decision = decision

    def execute(self, context: Context) -> dict[str, Any]:
        """Store both texts, then write."""
        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        with fail_fast():
            proposal = evidence.store.read_json(evidence.run, SCHEMA_DIFF_PATH)
            before = read_text(self.schema)
            if _digest(before) != proposal.get("written_sha256"):
                self._write(evidence, proposal, before)
        evidence.store.close(evidence.run, succeeded=True)
        who = ((self.decision or {}).get("responded_by_user") or {}).get("name", "")
        self.log.info("%s: %d changes accepted by %s", self.schema, len(proposal["ids"]), who or "unknown")
        return {"schema": self.schema, "changes": len(proposal["ids"]), "accepted_by": who}

    def _write(self, evidence: RunEvidence, proposal: dict[str, Any], before: str) -> None:
        from airflow_mlops.backends.rules.schema_file import evolve_text
        from airflow_mlops.core.data.schema.diff import SchemaDiff

        if _digest(before) != proposal["schema_sha256"]:
            msg = f"{self.schema}: changed since the comparison; compare again"
            raise InvalidConfigError(msg)
        changes = SchemaDiff.from_json(proposal["diff"]).pick(proposal["ids"])
        after, kept = evolve_text(before, self.schema, changes)
        evidence.store.write_text(evidence.run, "schema_before.yaml", before)
        evidence.store.write_text(evidence.run, "schema_after.yaml", after)
        evidence.keep(SCHEMA_DIFF_PATH, proposal | {"written_sha256": _digest(after)})
        _write_whole(self.schema, after)
        if not kept:
            self.log.warning("%s: comments could not be preserved", self.schema)


def _changes_as_markdown(changes: tuple[Change, ...]) -> str:
    """Return changes as a Markdown list, up to the size limit of a form."""
    lines: list[str] = []
    for change in changes:
        line = (
            f"- {'**needed** ' if change.needed else ''}{change.sentence} (*{change.effect}*, `{change.id}`)"
        )
        if len("\n".join([*lines, line]).encode()) > _MOST_BYTES_SHOWN:
            lines.append(f"- and {len(changes) - len(lines)} more: see the full report")
            break
        lines.append(line)
    return "\n".join(lines)


def _write_whole(uri: str, text: str) -> None:
    """Replace a file atomically; object storage does so itself."""
    from airflow_mlops.backends.text_file import write_atomically

    if is_local(uri):
        write_atomically(path_of(uri), text)
    else:
        write_text(uri, text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
