"""Validation operators: compare a candidate, nominate it as challenger."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from airflow_mlops.backends.registry.protocol import CHAMPION
from airflow_mlops.core.outcome import Finding, Outcome, Verdict
from airflow_mlops.core.training.candidate import Candidate
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.hooks.storage import filesystem_of
from airflow_mlops.links import EvidenceRunLink
from airflow_mlops.task.evidence import open_evidence
from airflow_mlops.task.failure import fail_fast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_mlops.backends.registry.protocol import ModelRegistry
    from airflow_mlops.backends.training.rows import Rows
    from airflow_mlops.core.training.job import DatasetSpec
    from airflow_mlops.core.validation.threshold import ValidationPolicy


class ValidateModelOperator(BaseOperator):
    """Compares a candidate with champion, trivial baseline and floor on the same held-back rows.

    A refusal is an answer, not a failure: the verdict is returned and kept, the next task acts on it.

    :param model: registered model. Templated.
    :param candidate: what ``TrainModelOperator`` returned. Templated.
    :param data: roles of the columns, as in training.
    :param policy: the bars.
    """

    template_fields: Sequence[str] = ("model", "candidate")
    operator_extra_links = (EvidenceRunLink(),)
    ui_color = "#ead1dc"

    def __init__(
        self,
        *,
        model: str,
        candidate: Any,
        data: DatasetSpec,
        policy: ValidationPolicy,
        mlflow_conn_id: str = "mlflow_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.candidate = candidate
        self.data = data
        self.policy = policy
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Judge, keep the report, return the verdict."""
        candidate = Candidate.from_json(self.candidate)
        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        with fail_fast():
            verdict = self._judge(candidate, MlflowHook(self.mlflow_conn_id).registry())
        evidence.keep("validation_report.json", verdict)
        evidence.store.set_tags(evidence.run, {"mlops.validation": str(verdict.outcome)})
        for finding in verdict.findings:
            self.log.info("%s: %s", finding.outcome, finding.reason)
        return verdict.to_json()

    def _judge(self, candidate: Candidate, registry: ModelRegistry) -> Verdict:
        import numpy as np

        from airflow_mlops.backends.training.rows import read_rows
        from airflow_mlops.core.validation.compare import BASELINE, CHALLENGER, Sample, judge
        from airflow_mlops.core.validation.compare import CHAMPION as RIVAL

        rows = read_rows(candidate.window, self.data, filesystem_of(candidate.window.uri))
        prior = rows.training[self.data.target].astype(float).mean()
        scores = {
            CHALLENGER: _scores(registry, self.model, candidate.version, rows),
            BASELINE: np.full(len(rows.holdout), prior),
        }
        champion = registry.alias(self.model, CHAMPION)
        if champion is not None:
            try:
                scores[RIVAL] = _scores(registry, self.model, champion, rows)
            except Exception as error:  # noqa: BLE001 - an old model may fail in any way
                return _incomparable(champion, error)
        labels = rows.holdout[self.data.target].to_numpy(dtype=float)
        segments = {name: rows.holdout[name].astype(str).to_numpy() for name in self.data.segments}
        return judge(Sample(labels, scores, segments), self.policy)


class NominateChallengerOperator(BaseOperator):
    """Makes a candidate that passed a challenger: tags the version and announces it to its outlets.

    Skips, with the reasons, unless the verdict passed. The version is the partition key of the outlets.

    :param model: registered model. Templated.
    :param candidate: what ``TrainModelOperator`` returned. Templated.
    :param verdict: what ``ValidateModelOperator`` returned. Templated.
    """

    template_fields: Sequence[str] = ("model", "candidate", "verdict")
    ui_color = "#ead1dc"

    def __init__(
        self,
        *,
        model: str,
        candidate: Any,
        verdict: Any,
        mlflow_conn_id: str = "mlflow_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.candidate = candidate
        self.verdict = verdict
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Nominate or skip."""
        candidate, verdict = Candidate.from_json(self.candidate), Verdict.from_json(self.verdict)
        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        evidence.store.close(evidence.run, succeeded=True)
        registry = MlflowHook(self.mlflow_conn_id).registry()
        registry.set_tags(self.model, candidate.version, {"mlops.validation": str(verdict.outcome)})
        if verdict.outcome not in (Outcome.PASS, Outcome.WARN):
            msg = f"version {candidate.version} is no challenger: {verdict.sentence()}"
            raise AirflowSkipException(msg)
        for asset in self.outlets:
            context["outlet_events"][asset].add_partitions([candidate.version])
        return candidate.to_json()


def _scores(registry: ModelRegistry, model: str, version: str, rows: Rows) -> Any:
    """Return a registered version's scores of the held-back rows, as its server would give them."""
    import mlflow.pyfunc
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="mlops-model-") as folder:
        loaded = mlflow.pyfunc.load_model(str(registry.download(model, version, Path(folder))))
        predicted = np.asarray(loaded.predict(rows.holdout[rows.features]), dtype=float)
    return predicted[:, -1] if predicted.ndim == 2 else predicted


def _incomparable(champion: str, error: Exception) -> Verdict:
    reason = f"champion version {champion} cannot score the held-back rows: {type(error).__name__}: {error}"
    finding = Finding(check="champion", subject=champion, outcome=Outcome.INCONCLUSIVE, reason=reason[:600])
    return Verdict.of("validation", [finding])
