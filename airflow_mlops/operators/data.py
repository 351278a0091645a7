"""Data operators: profile a window, check its schema, check it for skew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops.core.data.window import Window
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.record import Record
from airflow_mlops.core.verdict import Verdict, summary
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.hooks.storage import database_url, filesystem_of, is_table, read_text
from airflow_mlops.links import EvidenceRunLink, FullReportLink
from airflow_mlops.runtime.evidence import evidence_key, keep_report, keep_skew, open_evidence
from airflow_mlops.runtime.failure import fail_fast
from airflow_mlops.runtime.lineage import MeasuredWindow, lineage_of
from airflow_mlops.runtime.paths import PROFILE_PATH, WINDOW_PATH, report_path
from airflow_mlops.runtime.profiles import StoredProfiles, data_profile_tags, newest_cells, schema_tags
from airflow_mlops.runtime.references import FoundReference, find_reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_mlops.core.data.profile.profile import Profile
    from airflow_mlops.core.data.schema.schema import Schema
    from airflow_mlops.core.data.skew.policy import SkewPolicy
    from airflow_mlops.core.data.skew.report import SkewReport
    from airflow_mlops.runtime.evidence import RunEvidence

_MOST_KEYS_HANDED_OVER = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileRef(Record):
    """Location of a stored profile, and its window.

    :param window: of more than 100 partitions only the first and the last; ``window_path`` has them all.
    :param labelled: rows that have a label; all of them where the target is not known.
    """

    window: Window
    evidence_run: str
    path: str
    rows: int
    window_path: str = ""
    labelled: int = 0


class DataOperator(BaseOperator):
    """Base of the data tasks: the model, the evidence run, lineage of the measured window."""

    template_fields: Sequence[str] = ("model", "mlflow_conn_id")
    operator_extra_links = (EvidenceRunLink(), FullReportLink())
    ui_color = "#cfe2f3"

    def __init__(self, *, model: str, mlflow_conn_id: str = "mlflow_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.mlflow_conn_id = mlflow_conn_id
        self._measured: MeasuredWindow | None = None

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return the measured window as OpenLineage facets; ``None`` without one."""
        return lineage_of(self._measured)

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> Any:
        """Return the same facets if the task failed on its findings."""
        return lineage_of(self._measured)


class ProfileDataOperator(DataOperator):
    """Reads a window once and stores its profile in the evidence run; returns a ``ProfileRef`` as JSON.

    :param model: the model the data is for; names the experiment. Templated.
    :param uri: dataset: directory or file, parquet or csv; ``s3://conn_id@bucket/prefix`` too; a Delta or
        Iceberg table. How it is read may follow: ``#delimiter=%3B&version=3``. Templated.
        Or a table, profiled by its database: ``#table=public.trips&partition=day``.
    :param partitions: one partition key, a list of keys, or ``None`` for the whole dataset. Templated.
    :param table_conn_id: Airflow connection of the table's database. Templated.
    :param target: the label's column, to count labelled rows; empty for none.
    """

    template_fields = (*DataOperator.template_fields, "uri", "partitions", "table_conn_id")

    def __init__(
        self,
        *,
        uri: str,
        partitions: str | list[str] | None = None,
        table_conn_id: str = "",
        target: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.uri = uri
        self.partitions = partitions
        self.table_conn_id = table_conn_id
        self.target = target

    def execute(self, context: Context) -> dict[str, Any]:
        """Profile the window with the bins of the model's newest profile."""
        keys = [self.partitions] if isinstance(self.partitions, str) else list(self.partitions or ())
        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        with fail_fast():
            cells = newest_cells(evidence.store, self.model)
            window, profile = self._measure([key for key in keys if key], cells)
        kept = keep_report(evidence, PROFILE_PATH, profile, context)
        evidence.store.set_tags(evidence.run, data_profile_tags(window))
        self._measured = MeasuredWindow(window=window, profile=profile)
        self.log.info("%s: %d rows, %d columns", window.label, profile.rows, len(profile.columns))
        for note in profile.notes:
            self.log.info(note)
        labels = profile.by_name.get(self.target)
        labelled = profile.rows - (labels.nulls if labels else 0)
        ref = ProfileRef(window=window, rows=profile.rows, labelled=labelled, **kept)
        return _hand_over(ref, evidence).to_json()

    def _measure(self, keys: list[str], cells: Profile | None) -> tuple[Window, Profile]:
        files = filesystem_of(self.uri)
        if is_table(self.uri):
            from airflow_mlops.backends.profiling.tables.sql_table import profile_table_uri

            url = database_url(self.table_conn_id) if self.table_conn_id else ""
            return profile_table_uri(self.uri, keys, bins_from=cells, connection=url)
        from airflow_mlops.backends.profiling.files.arrow import profile_files

        return profile_files(self.uri, keys, bins_from=cells, filesystem=files)


class CheckSchemaOperator(DataOperator):
    """Checks a profiled window against the schema; critical findings fail the task without retry.

    Returns the worst findings that fit into 10 kB, and the location of the full report.

    :param profile: what ``ProfileDataOperator`` returned. Templated.
    :param schema: path or URI of the YAML suite. Templated.
    :param environment: ``training`` or ``serving``; rules may apply to one of them only. Templated.
    """

    template_fields = (*DataOperator.template_fields, "profile", "schema", "environment")

    def __init__(self, *, profile: Any, schema: str, environment: str = "training", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.profile = profile
        self.schema = schema
        self.environment = environment

    def execute(self, context: Context) -> dict[str, Any]:
        """Store the report, then fail or return the verdict."""
        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        with fail_fast():
            ref = ProfileRef.from_json(self.profile)
            profile, window = read_profile(evidence.store, ref), read_window_of(evidence.store, ref)
            verdict = self._check(profile, window)
            self._measured = MeasuredWindow(window=window, profile=profile, verdict=verdict)
            kept = keep_report(evidence, report_path("schema"), verdict, context)
            evidence.store.set_tags(evidence.run, schema_tags(verdict))
            short = summary(verdict, kept)
            self.log.info(short.sentence())
            short.require()
        return short.to_json()

    def _check(self, profile: Profile, window: Window) -> Verdict:
        from airflow_mlops.backends.rules.great_expectations import check_schema
        from airflow_mlops.backends.rules.suite import require_known
        from airflow_mlops.core.data.expectations.rule import require_environment

        require_environment(self.environment)
        schema, files = _schema(self.schema), filesystem_of(window.uri)
        require_known(schema)
        return check_schema(schema, profile, window, self.environment, files)


class CheckSkewOperator(DataOperator):
    """Compares a profile with a reference and reports skew; the task itself does not fail on skew.

    Outcome ``fail`` means skew, ``inconclusive`` means too little reference data. Returns the worst findings
    that fit into 10 kB, and the location of the full report.

    :param profile: what ``ProfileDataOperator`` returned. Templated.
    :param reference: a :class:`~airflow_mlops.core.data.reference.Reference`, the name of a rule, either as
        JSON, or a ``ProfileRef``; the champion's training window if ``None``. Templated.
    :param policy: thresholds; the defaults of ``SkewPolicy`` if ``None``.
    :param gate: name of the verdict: ``skew`` of new data, ``drift`` of what was served.
    :param calibrated: derive thresholds from the distances between the reference's partitions, if there are
        enough of them; limits that the policy sets for single columns take precedence.
    """

    template_fields = (*DataOperator.template_fields, "profile", "reference")

    def __init__(
        self,
        *,
        profile: Any,
        reference: Any = None,
        policy: SkewPolicy | None = None,
        gate: str = "skew",
        calibrated: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.gate = gate
        self.profile = profile
        self.reference = reference
        self.policy = policy
        self.calibrated = calibrated

    def execute(self, context: Context) -> dict[str, Any]:
        """Compare, store the report, return the verdict."""
        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        with fail_fast():
            ref = ProfileRef.from_json(self.profile)
            current, window = read_profile(evidence.store, ref), read_window_of(evidence.store, ref)
            found = self._find(evidence, window, current, context)
            report = self._compare(found, current)
        verdict = replace(report.verdict, gate=self.gate)
        kept = keep_skew(evidence, self.gate, report, context, found.described())
        evidence.store.set_tags(evidence.run, {f"mlops.{self.gate}": str(verdict.outcome)})
        self._measured = MeasuredWindow(window=window, profile=current, verdict=verdict)
        short = summary(verdict, kept)
        self.log.info(short.sentence())
        return short.to_json()

    def _find(
        self, evidence: RunEvidence, window: Window, current: Profile, context: Context
    ) -> FoundReference:
        if isinstance(self.reference, dict) and "evidence_run" in self.reference:
            ref = ProfileRef.from_json(self.reference)
            return FoundReference.given(ref.window.partitions, read_profile(evidence.store, ref))
        profiles = StoredProfiles(
            store=evidence.store, model=self.model, run=evidence_key(self.model, context)
        )
        registry = MlflowHook(self.mlflow_conn_id).registry()
        return find_reference(profiles, registry, self.reference, window, current)

    def _compare(self, found: FoundReference, current: Profile) -> SkewReport:
        from airflow_mlops.core.data.skew.calibration import calibrate
        from airflow_mlops.core.data.skew.compare import compare_profiles
        from airflow_mlops.core.data.skew.report import SkewReport

        if found.profile is None:
            verdict = Verdict.of(self.gate, [found.missing()])
            return SkewReport(verdict=verdict, tests=(), reference_rows=0, current_rows=current.rows)
        wanted = self.calibrated and len(found.blocks) > 1
        calibration = calibrate(found.blocks, policy=self.policy) if wanted else None
        return compare_profiles(found.profile, current, self.policy, calibration)


def read_profile(store: Any, ref: ProfileRef) -> Profile:
    """Return the profile that a ``ProfileRef`` points to."""
    from airflow_mlops.core.data.profile.profile import Profile

    return Profile.from_json(store.read_json(ref.evidence_run, ref.path))


def read_window_of(store: Any, ref: ProfileRef) -> Window:
    """Return the whole window of a profile, with all its partitions."""
    if not ref.window_path:
        return ref.window
    return Window.from_json(store.read_json(ref.evidence_run, ref.window_path))


def _hand_over(ref: ProfileRef, evidence: RunEvidence) -> ProfileRef:
    """Store a long list of partitions in the evidence run instead of returning it."""
    keys = ref.window.partitions
    if len(keys) <= _MOST_KEYS_HANDED_OVER:
        return ref
    evidence.keep(WINDOW_PATH, ref.window)
    ends = replace(ref.window, partitions=(keys[0], keys[-1]))
    return replace(ref, window=ends, window_path=WINDOW_PATH)


def _schema(path: str) -> Schema:
    from airflow_mlops.backends.rules.schema_file import parse_schema

    try:
        text = read_text(path)
    except InvalidConfigError as error:
        msg = f"schema {error}; infer one with: airflow-mlops schema infer <data> -o {path}"
        raise InvalidConfigError(msg) from error
    return parse_schema(text, path)
