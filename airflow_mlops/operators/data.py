"""Data operators: profile a window once, check its schema, check its skew."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops.core.data.window import Window
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.outcome import Finding, Outcome, Verdict
from airflow_mlops.core.record import Record
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.links import EvidenceRunLink
from airflow_mlops.operators.profiles import (
    ACCEPTED,
    champion_profile,
    data_profile_tags,
    newest_cells,
    schema_tags,
)
from airflow_mlops.task.evidence import open_evidence
from airflow_mlops.task.failure import fail_fast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_mlops.core.data.profile import Profile
    from airflow_mlops.core.data.schema import Schema
    from airflow_mlops.core.data.skew_policy import SkewPolicy

PROFILE_PATH = "profile.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileRef(Record):
    """Where a profile lies, and what it is of."""

    window: Window
    evidence_run: str
    path: str
    rows: int


class DataOperator(BaseOperator):
    """What all data tasks share."""

    template_fields: Sequence[str] = ("model",)
    operator_extra_links = (EvidenceRunLink(),)
    ui_color = "#cfe2f3"

    def __init__(self, *, model: str, mlflow_conn_id: str = "mlflow_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.mlflow_conn_id = mlflow_conn_id


class ProfileDataOperator(DataOperator):
    """Reads a window once and keeps its profile in the evidence run; returns a ``ProfileRef`` as JSON.

    :param model: the model the data is for; names the experiment. Templated.
    :param uri: dataset: directory or file, parquet or csv. Templated.
    :param partitions: one partition key, a list of keys, or ``None`` for the whole dataset. Templated.
    """

    template_fields = ("model", "uri", "partitions")

    def __init__(self, *, uri: str, partitions: str | list[str] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.uri = uri
        self.partitions = partitions

    def execute(self, context: Context) -> dict[str, Any]:
        """Profile the window with the cells of the model's newest profile."""
        from airflow_mlops.backends.profiling.arrow import profile_window
        from airflow_mlops.backends.profiling.dataset import describe_window

        keys = [self.partitions] if isinstance(self.partitions, str) else list(self.partitions or ())
        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        with fail_fast():
            window = describe_window(self.uri, [key for key in keys if key])
            cells = newest_cells(evidence.store, self.model)
            profile = profile_window(window, cells_from=cells)
        kept = evidence.keep(PROFILE_PATH, profile)
        evidence.store.set_tags(evidence.run, data_profile_tags(window))
        self.log.info("%s: %d rows, %d columns", window.label, profile.rows, len(profile.columns))
        return ProfileRef(window=window, rows=profile.rows, **kept).to_json()


class CheckSchemaOperator(DataOperator):
    """Checks a profiled window against the schema; critical findings fail the task without retry.

    :param profile: what ``ProfileDataOperator`` returned. Templated.
    :param schema: path of the YAML suite. Templated.
    :param environment: ``training`` or ``serving``; rules may apply to one of them only.
    """

    template_fields = ("model", "profile", "schema")

    def __init__(self, *, profile: Any, schema: str, environment: str = "training", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.profile = profile
        self.schema = schema
        self.environment = environment

    def execute(self, context: Context) -> dict[str, Any]:
        """Keep the report, then fail or return the verdict."""
        from airflow_mlops.backends.rules.great_expectations import check_schema

        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        ref = ProfileRef.from_json(self.profile)
        with fail_fast():
            profile = read_profile(evidence.store, ref)
            verdict = check_schema(_schema(self.schema), profile, ref.window, self.environment)
            evidence.keep("schema_report.json", verdict)
            evidence.store.set_tags(evidence.run, schema_tags(verdict))
            self.log.info(verdict.sentence())
            verdict.require(*ACCEPTED)
        return verdict.to_json()


class CheckSkewOperator(DataOperator):
    """Compares a profile with a reference; never fails on skew, it only says so.

    Outcome ``fail`` means skew was found, ``inconclusive`` that there is nothing to compare with.

    :param profile: what ``ProfileDataOperator`` returned. Templated.
    :param reference: a ``ProfileRef``; ``None`` for the champion's training window. Templated.
    :param policy: thresholds; the defaults of ``SkewPolicy`` if ``None``.
    :param gate: name of the verdict: ``skew`` of new data, ``drift`` of what was served.
    """

    template_fields = ("model", "profile", "reference")

    def __init__(
        self,
        *,
        profile: Any,
        reference: Any = None,
        policy: SkewPolicy | None = None,
        gate: str = "skew",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.gate = gate
        self.profile = profile
        self.reference = reference
        self.policy = policy

    def execute(self, context: Context) -> dict[str, Any]:
        """Compare, keep the report, return the verdict."""
        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        current = read_profile(evidence.store, ProfileRef.from_json(self.profile))
        with fail_fast():
            reference = self._reference(current, context)
        verdict = self._incomparable() if reference is None else self._compare(reference, current, context)
        evidence.store.set_tags(evidence.run, {"mlops.skew": str(verdict.outcome)})
        self.log.info(verdict.sentence())
        return verdict.to_json()

    def _reference(self, current: Profile, context: Context) -> Profile | None:
        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        if self.reference is not None:
            return read_profile(evidence.store, ProfileRef.from_json(self.reference))
        registry = MlflowHook(self.mlflow_conn_id).registry()
        return champion_profile(evidence.store, registry, self.model, cells=current)

    def _compare(self, reference: Profile, current: Profile, context: Context) -> Verdict:
        from airflow_mlops.core.data.skew import compare_profiles

        report = compare_profiles(reference, current, self.policy)
        open_evidence(self.mlflow_conn_id, self.model, context).keep("skew_report.json", report)
        kept = tuple(f for f in report.verdict.findings if f.outcome is not Outcome.PASS)
        return Verdict(gate=self.gate, outcome=report.verdict.outcome, findings=kept)

    def _incomparable(self) -> Verdict:
        reason = "no champion yet: nothing to compare with"
        finding = Finding(check="reference", subject="champion", outcome=Outcome.INCONCLUSIVE, reason=reason)
        return Verdict.of(self.gate, [finding])


def read_profile(store: Any, ref: ProfileRef) -> Profile:
    """Return the profile a reference points to."""
    from airflow_mlops.core.data.profile import Profile

    return Profile.from_json(store.read_json(ref.evidence_run, ref.path))


def _schema(path: str) -> Schema:
    from airflow_mlops.core.data.schema import schema_from_yaml

    file = Path(path)
    if not file.is_file():
        msg = f"schema {path}: no such file; infer one with: airflow-mlops schema infer <data> -o {path}"
        raise InvalidConfigError(msg)
    return schema_from_yaml(file.read_text(), path)
