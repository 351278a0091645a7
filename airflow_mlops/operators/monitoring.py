"""Monitoring operators: profile served requests, measure the champion when labels have arrived."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS
from airflow_mlops.core.data.skew.policy import SkewPolicy
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.errors import InvalidConfigError, InvalidRecordError
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

    from airflow_mlops.backends.metrics.inference_log import InferenceLog
    from airflow_mlops.backends.metrics.request_labels import RequestLabels
    from airflow_mlops.core.data.skew.report import SkewReport
    from airflow_mlops.core.monitoring.alarm import Alarm
    from airflow_mlops.core.monitoring.performance import Measurement, Promise
    from airflow_mlops.core.monitoring.performance_policy import PerformancePolicy
    from airflow_mlops.core.training.job import DatasetSpec
    from airflow_mlops.runtime.evidence import RunEvidence

_EDGE = 0.01  # share of a window's requests at either end that may lie far from the others in time
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

    def served(self, entity: Sequence[str] = ()) -> tuple[RequestLabels, InferenceLog]:
        """Return the partition's labels and the logged requests they belong to.

        :param entity: columns that say whose request it is.
        """
        from airflow_mlops.backends.metrics.inference_log import read_inference_log
        from airflow_mlops.backends.metrics.request_labels import RequestLabels
        from airflow_mlops.backends.profiling.files.dataset import read_files

        with fail_fast():
            if not self.data.key:
                msg = "data.key: empty, allowed: a column of request ids, by which labels are joined"
                raise InvalidConfigError(msg)
            key, target = self.data.key[0], self.data.target
            columns = list(dict.fromkeys((key, target, *entity)))
            _, table = read_files(self.uri, [self.partition], columns, filesystem_of(self.uri))
            labels = RequestLabels.of(table, key, target, entity)
            log_dir = ServingHook(self.serving_conn_id).inference_log_dir
            log = read_inference_log(log_dir, self.model, request_ids=labels.ids)
        for remark in (*labels.remarks(), *log.remarks()):
            self.log.warning("partition %s: %s", self.partition, remark)
        return labels, log


class ProfileInferenceLogOperator(MonitoringOperator):
    """Profiles the inputs that were served, with the bins of the champion's training profile.

    Skips if no request was served, so that downstream tasks do not pass without data.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Profile and store; returns a ``ProfileRef`` as JSON."""
        from airflow_mlops.backends.columns.servable import alike
        from airflow_mlops.backends.profiling.files.arrow import profile_table
        from airflow_mlops.core.data.profile.families import with_types_of

        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        labels, log = self.served()
        rows = log.answers.num_rows
        if not rows:
            evidence.store.close(evidence.run, succeeded=True)
            msg = "; ".join((f"no request of partition {self.partition} was served", *labels.remarks()))
            raise AirflowSkipException(msg)
        registry, known = MlflowHook(self.mlflow_conn_id).registry(), newest_cells(evidence.store, self.model)
        key = evidence_key(self.model, context)
        stored = StoredProfiles(store=evidence.store, model=self.model, run=key)
        cells = stored.champion(registry, known)
        inputs = alike(log.inputs, cells) if cells else log.inputs
        profile = profile_table(inputs, bins_from=cells)
        profile = with_types_of(cells, profile) if cells else profile
        kept = keep_report(evidence, SERVING_PROFILE_PATH, profile, context)
        window = Window(uri=f"inference-log:{self.model}", partitions=(self.partition,), rows=rows)
        return ProfileRef(window=window, rows=rows, labelled=len(labels.labelled), **kept).to_json()


class CheckPerformanceOperator(MonitoringOperator):
    """Joins predictions with labels and compares the champion's metric with its value in validation.

    Returns the verdict: ``fail`` for degradation, which all windows of the champion together show, ``warn``
    if only this one does, ``inconclusive`` with too little data or labels.

    :param policy: the bars.
    :param entity: columns of the dataset that identify a cluster, whose requests move together.
    """

    def __init__(self, *, policy: PerformancePolicy, entity: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.policy = policy
        self.entity = entity

    def execute(self, context: Context) -> dict[str, Any]:
        """Measure, store the report, return the verdict."""
        from airflow_mlops.core.monitoring.performance import judge_performance
        from airflow_mlops.core.validation.report import noted

        evidence, champion = open_evidence(self.mlflow_conn_id, self.model, context), self.champion()
        candidate = self.promised(champion, CANDIDATE_PATH) or {}
        known, log = self.served(self.entity)
        rows = self._rows(champion, candidate, known, log)
        promised = self._promised(champion, candidate)
        verdict, seen = judge_performance(promised=promised, policy=self.policy, **rows)
        alarm = None
        if champion is not None and promised is not None:
            verdict, alarm = self._concluded(evidence, champion, promised, verdict, seen)
        notes = [noted("requests", remark) for remark in (*known.remarks(), *log.remarks())]
        verdict = Verdict.of(verdict.gate, [*verdict.findings, *notes])
        report = {name: one and one.to_json() for name, one in (("seen", seen), ("alarm", alarm))}
        keep_report(evidence, PERFORMANCE_PATH, {"verdict": verdict.to_json(), **report}, context)
        if seen is not None:
            evidence.store.log_metrics(evidence.run, {f"production_{seen.metric}": seen.value})
        self.log.info(verdict.sentence())
        return verdict.to_json()

    def _rows(
        self, champion: str | None, candidate: dict[str, Any], known: RequestLabels, log: InferenceLog
    ) -> dict[str, Any]:
        """Return labels, scores and entities of the champion's answers, and the scores of the others."""
        import pandas as pd

        from airflow_mlops.backends.metrics.inference_log import answers
        from airflow_mlops.backends.validation.classes import about_positive, labels_among

        joined = known.joined(log.of_version(champion))
        others = known.without(self._answered(champion, joined, log))
        classes, positive = tuple(candidate.get("classes", ())), candidate.get("positive", "")
        labels = labels_among(joined["label"], classes)
        both = pd.concat([joined, others], ignore_index=True)
        labels, scores = about_positive(labels, answers(both), classes, positive)
        return {
            "labels": labels,
            "scores": scores[: len(labels)],
            "unlabelled": scores[len(labels) :],
            "entities": joined["entity"].to_numpy() if self.entity else None,
        }

    def _answered(self, champion: str | None, joined: pd.DataFrame, log: InferenceLog) -> pd.DataFrame:
        """Return what the champion answered while it answered the labelled requests, and those listed."""
        import pandas as pd

        from airflow_mlops.backends.metrics.inference_log import read_inference_log

        listed = log.of_version(champion)
        if joined.empty:
            return listed
        since, until = joined["time"].quantile([_EDGE, 1 - _EDGE])
        where = ServingHook(self.serving_conn_id).inference_log_dir
        with fail_fast():
            then = read_inference_log(where, self.model, since=since, until=until).of_version(champion)
        return pd.concat([listed, then[~then["request_id"].isin(set(listed["request_id"]))]])

    def _concluded(
        self,
        evidence: RunEvidence,
        champion: str,
        promised: Promise,
        verdict: Verdict,
        seen: Measurement | None,
    ) -> tuple[Verdict, Alarm]:
        """Keep the window, and say what it shows together with the earlier ones of this champion."""
        from airflow_mlops.backends.evidence.judged_windows import JudgedWindows
        from airflow_mlops.core.monitoring.alarm import JudgedWindow, conclude, judge_windows

        version = MlflowHook(self.mlflow_conn_id).registry().version(self.model, champion)
        stored = JudgedWindows(
            store=evidence.store,
            model=self.model,
            champion=champion,
            champion_run=version.evidence_run,
            metric=self.policy.metric,
        )
        windows = stored.keep(evidence.run, JudgedWindow.of(self.partition, seen))
        alarm = judge_windows(windows, promised, self.policy)
        return conclude(verdict, alarm, promised, self.policy), alarm

    def _promised(self, champion: str | None, candidate: dict[str, Any]) -> Promise | None:
        """Return the metric's value in validation, or in training if there is none."""
        from airflow_mlops.core.monitoring.performance import Promise

        report = self.promised(champion, VALIDATION_PATH) or {}
        for one in report.get("values", ()):
            if (one["metric"], one["model"]) == (self.policy.metric, "challenger") and one[
                "value"
            ] is not None:
                level = {"alpha": report.get("alpha", self.policy.alpha), "rows": report.get("rows", 0)}
                return Promise.from_json(one | level)
        for one in report.get("comparisons", ()):
            if (one["metric"], one["segment"]) == (self.policy.metric, "") and one["challenger"] is not None:
                return Promise(value=float(one["challenger"]), rows=report.get("rows", 0))
        trained = candidate.get("metrics", {}).get(self.policy.metric)
        return None if trained is None else Promise(value=float(trained))


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
        answers = log.of_version(champion)["prediction"].dropna()
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
        asked = self.policy or SkewPolicy()
        own = {name: limits for name, limits in asked.columns.items() if name == SCORE_COLUMN}
        policy = replace(asked, predictions=(SCORE_COLUMN,), labels=(), ignore=(), columns=own)
        return compare_profiles(reference, profile_scores(answers, reference), policy)
