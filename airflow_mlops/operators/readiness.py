"""Readiness operator: probes and load-tests a version in the process that would serve it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.release.clearance import ReleaseGate
from airflow_mlops.core.release.readiness import ReadinessPolicy, ReadinessReport
from airflow_mlops.core.training.candidate import Candidate
from airflow_mlops.core.verdict import summary
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.operators.candidate import CandidateOperator, skip_refused
from airflow_mlops.runtime.evidence import keep_report, open_evidence
from airflow_mlops.runtime.failure import fail_fast
from airflow_mlops.runtime.paths import READINESS_PATH
from airflow_mlops.runtime.update_report import keep_update

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.core.release.readiness import ReadinessMeasurements
    from airflow_mlops.core.verdict import Verdict
    from airflow_mlops.runtime.evidence import RunEvidence


class CheckReadinessOperator(CandidateOperator):
    """Serves a candidate on this machine, without traffic, and sends it probe requests and a load test.

    Compares its recorded requirements with the serving environment, sends the input example and edge cases of
    its signature, measures latency, throughput, memory and size. Stores the report; then fails without retry
    if the version is not ready. Skips if validation refused the candidate. The server ends with the task,
    even if that is killed.

    :param model: registered model. Templated.
    :param candidate: what ``TrainModelOperator`` returned. Templated.
    :param verdict: what ``ValidateModelOperator`` returned; ``None`` to probe without one. Templated.
    :param policy: limits; if ``None``, only the answers to probe requests are judged.
    """

    def __init__(self, *, policy: ReadinessPolicy | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.policy = policy

    def execute(self, context: Context) -> dict[str, Any]:
        """Probe the version, store the report, then fail or return the verdict."""
        from airflow_mlops.core.release.readiness import judge_readiness

        skip_refused(self.verdict)
        candidate, policy = Candidate.from_json(self.candidate), self.policy or ReadinessPolicy()
        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        with fail_fast():
            found = self._try(candidate, policy, context)
            verdict = judge_readiness(found, policy)
            document = ReadinessReport(verdict=verdict, measured=found, policy=policy)
            kept = keep_report(evidence, READINESS_PATH, document, context)
            self._mark(evidence, candidate, verdict, _metrics(found))
            keep_update(evidence, candidate, context)
            short = summary(verdict, kept)
            short.require()
        return short.to_json()

    def _mark(
        self, evidence: RunEvidence, candidate: Candidate, verdict: Verdict, metrics: dict[str, float]
    ) -> None:
        """Record the outcome as tags of run and version, and the measurements as metrics."""
        tags = {ReleaseGate.READINESS.tag: str(verdict.outcome)}
        evidence.store.set_tags(evidence.run, tags)
        evidence.store.log_metrics(evidence.run, metrics)
        MlflowHook(self.mlflow_conn_id).registry().set_tags(self.model, candidate.version, tags)
        for finding in verdict.findings:
            self.log.info("%s: %s", finding.outcome, finding.reason)
        if not verdict.outcome.is_accepted:
            evidence.store.close(evidence.run, succeeded=False)

    def _try(self, candidate: Candidate, policy: ReadinessPolicy, context: Context) -> ReadinessMeasurements:
        from airflow_mlops.backends.serving.readiness.probe import probe_version

        task, dag_run = context["ti"], context["dag_run"]
        names = (dag_run.dag_id, dag_run.run_id, self.task_id, getattr(task, "map_index", -1))
        registry = MlflowHook(self.mlflow_conn_id).registry()
        with tempfile.TemporaryDirectory(prefix="mlops-model-") as folder:
            model_dir = registry.download(self.model, candidate.version, Path(folder))
            return probe_version(
                model_dir, self.model, candidate.version, policy, key="/".join(map(str, names))
            )


def _metrics(found: ReadinessMeasurements) -> dict[str, float]:
    one, many = found.one_by_one, found.at_once
    known: dict[str, float | None] = {
        "readiness_p50_ms": one.p50_ms if one else None,
        "readiness_p99_ms": one.p99_ms if one else None,
        "readiness_per_second": many.per_second if many else None,
        "readiness_rss_mb": found.rss_mb,
        "readiness_model_mb": found.model_mb,
        "readiness_start_seconds": found.start_seconds,
    }
    return {name: value for name, value in known.items() if value is not None}
