"""Monitoring operators: profile served requests, measure the champion when labels have arrived."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS
from airflow_mlops.core.data.skew.policy import SkewPolicy
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.errors import InvalidRecordError
from airflow_mlops.core.verdict import Finding, Outcome, Verdict, summary
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.hooks.serving import ServingHook
from airflow_mlops.hooks.storage import filesystem_of
from airflow_mlops.links import EvidenceRunLink, FullReportLink
from airflow_mlops.operators.data import ProfileRef
from airflow_mlops.runtime.evidence import evidence_key, keep_report, keep_skew, open_evidence
from airflow_mlops.runtime.failure import fail_fast
from airflow_mlops.runtime.paths import (
    CANDIDATE_PATH,
    PERFORMANCE_PATH,
    SCORE_PROFILE_PATH,
    SERVING_PROFILE_PATH,
    VALIDATION_PATH,
)
from airflow_mlops.runtime.profiles import StoredProfiles, newest_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from airflow.sdk import Context

    from airflow_mlops.core.data.skew.report import SkewReport
    from airflow_mlops.core.monitoring.performance_policy import PerformancePolicy
    from airflow_mlops.core.training.job import DatasetSpec
    from airflow_mlops.core.validation.metrics.base import Array

_PREDICTION_DRIFT = "prediction_drift"


class MonitoringOperator(BaseOperator):
    """Base of the monitoring tasks: a partition whose labels arrived, and the inference log.

    :param model: registered model; also the endpoint. Templated.
    :param uri: dataset of the labels. Templated.
    :param partition: the partition whose labels arrived. Templated.
    :param data: roles of the columns; its single key column holds the request ids.
    """

    template_fields: Sequence[str] = ("model", "uri", "partition")
    operator_extra_links = (EvidenceRunLink(), FullReportLink())
    ui_color = "#d0e0e3"

    def __init__(
        self,
        *,
        model: str,
        uri: str,
        partition: str,
        data: DatasetSpec,
        serving_conn_id: str = "mlops_serving",
        mlflow_conn_id: str = "mlflow_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.uri = uri
        self.partition = partition
        self.data = data
        self.serving_conn_id = serving_conn_id
        self.mlflow_conn_id = mlflow_conn_id

    def champion(self) -> str | None:
        """Return the version that serves; ``None`` at a cold start."""
        return MlflowHook(self.mlflow_conn_id).registry().alias(self.model, CHAMPION_ALIAS)

    def promised(self, champion: str | None, path: str) -> dict[str, Any] | None:
        """Return a document of the champion's training; ``None`` if there is none."""
        hook = MlflowHook(self.mlflow_conn_id)
        if champion is None:
            return None
        run = hook.registry().version(self.model, champion).evidence_run
        try:
            return hook.evidence().read_json(run, path)
        except InvalidRecordError:
            return None

    def served(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the partition's labels and the logged requests they belong to."""
        from airflow_mlops.backends.metrics.inference_log import read_inference_log
        from airflow_mlops.backends.training.rows import read_frame

        key = self.data.key[0]
        with fail_fast():
            files = filesystem_of(self.uri)
            _, labels = read_frame(self.uri, [self.partition], [key, self.data.target], files)
            log_dir = ServingHook(self.serving_conn_id).inference_log_dir
            log = read_inference_log(log_dir, self.model, request_ids=set(labels[key].astype(str)))
        return labels, log.to_pandas()


class ProfileInferenceLogOperator(MonitoringOperator):
    """Profiles the inputs that were served, with the bins of the champion's training profile.

    Skips if no request was served, so that downstream tasks do not pass without data.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Profile and store; returns a ``ProfileRef`` as JSON."""
        import pyarrow as pa

        from airflow_mlops.backends.metrics.inference_log import BASE_SCHEMA
        from airflow_mlops.backends.profiling.files.arrow import profile_table

        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        _, log = self.served()
        if log.empty:
            evidence.store.close(evidence.run, succeeded=True)
            msg = f"no request of partition {self.partition} was served"
            raise AirflowSkipException(msg)
        registry, known = MlflowHook(self.mlflow_conn_id).registry(), newest_cells(evidence.store, self.model)
        key = evidence_key(self.model, context)
        stored = StoredProfiles(store=evidence.store, model=self.model, run=key)
        cells = stored.champion(registry, known)
        inputs = log.drop(columns=list(BASE_SCHEMA.names))
        profile = profile_table(pa.Table.from_pandas(inputs, preserve_index=False), bins_from=cells)
        kept = keep_report(evidence, SERVING_PROFILE_PATH, profile, context)
        window = Window(uri=f"inference-log:{self.model}", partitions=(self.partition,), rows=len(log))
        return ProfileRef(window=window, rows=len(log), **kept).to_json()


class CheckPerformanceOperator(MonitoringOperator):
    """Joins predictions with labels and compares the champion's metric with its value in validation.

    Returns the verdict: ``fail`` for degradation, ``inconclusive`` with too little data.

    :param policy: the bars.
    """

    def __init__(self, *, policy: PerformancePolicy, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.policy = policy

    def execute(self, context: Context) -> dict[str, Any]:
        """Measure, store the report, return the verdict."""
        from airflow_mlops.core.monitoring.performance import judge_performance

        evidence, champion = open_evidence(self.mlflow_conn_id, self.model, context), self.champion()
        candidate = self.promised(champion, CANDIDATE_PATH) or {}
        labels, scores = self._joined(champion, tuple(candidate.get("classes", ())))
        verdict, seen = judge_performance(labels, scores, self._promised(champion, candidate), self.policy)
        report = {"verdict": verdict.to_json(), "seen": seen and seen.to_json()}
        keep_report(evidence, PERFORMANCE_PATH, report, context)
        if seen is not None:
            evidence.store.log_metrics(evidence.run, {f"production_{seen.metric}": seen.value})
        self.log.info(verdict.sentence())
        return verdict.to_json()

    def _joined(self, champion: str | None, classes: tuple[str, ...]) -> tuple[Array, Array]:
        """Return labels and scores of the labelled requests that the champion answered."""
        from airflow_mlops.backends.metrics.inference_log import answers
        from airflow_mlops.backends.validation.rows import labels_among

        (key, target), (labels, log) = (self.data.key[0], self.data.target), self.served()
        known = labels[labels[target].notna()]
        mine = log.loc[log["version"] == champion, ["request_id", "prediction", "scores"]]
        asked = known.assign(request_id=known[key].astype(str), label=known[target])
        joined = mine.merge(asked[["request_id", "label"]], on="request_id")
        return labels_among(joined["label"], classes), answers(joined)

    def _promised(self, champion: str | None, candidate: dict[str, Any]) -> float | None:
        """Return the metric's value in validation, or in training if there is none."""
        report = self.promised(champion, VALIDATION_PATH) or {}
        for one in report.get("comparisons", ()):
            if (one["metric"], one["segment"]) == (self.policy.metric, "") and one["challenger"] is not None:
                return float(one["challenger"])
        return candidate.get("metrics", {}).get(self.policy.metric)  # type: ignore[no-any-return]


class CheckPredictionsOperator(MonitoringOperator):
    """Compares the champion's predictions with its scores on the held-back rows of training.

    A skew test of a single column; the task itself does not fail on drift. Returns the verdict:
    ``inconclusive`` if the champion answered no request, or its training stored no scores.

    :param policy: thresholds; the defaults of ``SkewPolicy`` if ``None``.
    """

    def __init__(self, *, policy: SkewPolicy | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.policy = policy

    def execute(self, context: Context) -> dict[str, Any]:
        """Compare, store the report, return the verdict."""
        evidence, champion = open_evidence(self.mlflow_conn_id, self.model, context), self.champion()
        _, log = self.served()
        answers = log.loc[log["version"] == champion, "prediction"].dropna()
        with fail_fast():
            report = self._compare(champion, answers)
        of = {"rule": "training", "version": champion}
        kept = keep_skew(evidence, _PREDICTION_DRIFT, report, context, of)
        short = summary(replace(report.verdict, gate=_PREDICTION_DRIFT), kept)
        self.log.info(short.sentence())
        return short.to_json()

    def _compare(self, champion: str | None, answers: pd.Series[float]) -> SkewReport:
        from airflow_mlops.backends.profiling.scores import SCORE_COLUMN, profile_scores
        from airflow_mlops.core.data.profile.profile import Profile
        from airflow_mlops.core.data.skew.compare import compare_profiles
        from airflow_mlops.core.data.skew.report import SkewReport

        kept = self.promised(champion, SCORE_PROFILE_PATH)
        if kept is None or answers.empty:
            why = "it answered no request" if kept else "its training stored no scores"
            reason = f"champion version {champion}: {why}" if champion else "no champion yet"
            finding = Finding(
                check="reference", subject="prediction", outcome=Outcome.INCONCLUSIVE, reason=reason
            )
            verdict = Verdict.of(_PREDICTION_DRIFT, [finding])
            return SkewReport(verdict=verdict, tests=(), reference_rows=0, current_rows=len(answers))
        reference = Profile.from_json(kept)
        policy = replace(self.policy or SkewPolicy(), predictions=(SCORE_COLUMN,))
        return compare_profiles(reference, profile_scores(answers, reference), policy)
