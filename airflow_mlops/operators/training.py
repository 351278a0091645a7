"""Training operator: registers exactly one version per DAG run, also across retries."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops.core.errors import TrainingError
from airflow_mlops.core.training.candidate import Candidate, plain_params
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.hooks.storage import filesystem_of
from airflow_mlops.links import EvidenceRunLink
from airflow_mlops.runtime.evidence import open_evidence
from airflow_mlops.runtime.failure import fail_fast
from airflow_mlops.runtime.paths import CANDIDATE_PATH, RECIPE_PATH, SCORE_PROFILE_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.sdk import Context

    from airflow_mlops.backends.training.rows import Rows
    from airflow_mlops.core.data.window import Window
    from airflow_mlops.core.training.job import DatasetSpec
    from airflow_mlops.core.validation.policy import ValidationPolicy
    from airflow_mlops.runtime.evidence import RunEvidence

"""Training function and column roles: with data and parameters, all that a replay needs."""

_LONGEST_TAG = 4000


class TrainModelOperator(BaseOperator):
    """Runs the author's ``train(data, params) -> model`` in process and registers the model.

    Idempotent per DAG run: the version is registered for the evidence run and found there by a retry, a clear
    or after a kill, so there is never a second version. Returns a ``Candidate`` as JSON.

    :param model: registered model. Templated.
    :param function: the function, or ``module:name`` of it.
    :param window: ``{"uri": …, "partitions": […]}``. Templated.
    :param data: roles of the columns.
    :param train_params: passed to the function and logged. Templated.
    :param trigger_reason: reason of the training. Templated.
    :param policy: of the validation that follows: before anything is trained, the log warns of its claims
        that these rows can never decide. A column it names that is not there is refused then.
    """

    template_fields: Sequence[str] = ("model", "window", "train_params", "trigger_reason")
    operator_extra_links = (EvidenceRunLink(),)
    ui_color = "#fff2cc"

    def __init__(
        self,
        *,
        model: str,
        function: Callable[..., Any] | str,
        window: Any,
        data: DatasetSpec,
        train_params: Any = None,
        trigger_reason: str = "",
        policy: ValidationPolicy | None = None,
        mlflow_conn_id: str = "mlflow_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.function = function
        self.window = window
        self.data = data
        self.train_params = train_params
        self.trigger_reason = trigger_reason
        self.policy = policy
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the candidate of this DAG run; train it if no earlier try did."""
        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        registry = MlflowHook(self.mlflow_conn_id).registry()
        done = registry.registered(self.model, evidence.run)
        if done is not None:
            self.log.info("version %s was trained by an earlier try", done.version)
            return evidence.store.read_json(evidence.run, CANDIDATE_PATH) | {"version": done.version}
        with fail_fast():
            try:
                return self._train(context, evidence)
            except TrainingError:
                evidence.store.close(evidence.run, succeeded=False)
                raise

    def _train(self, context: Context, evidence: RunEvidence) -> dict[str, Any]:
        from airflow_mlops.backends.profiling.scores import profile_scores
        from airflow_mlops.backends.training import in_process
        from airflow_mlops.backends.training.mlflow_log import TrainingLog
        from airflow_mlops.backends.validation.classes import positive_of, recorded_classes

        params = plain_params(self.train_params or {})
        rows = self._read()
        self._warn(rows)
        window = rows.window
        function = in_process.load_function(self.function)
        hook = MlflowHook(self.mlflow_conn_id)
        log = TrainingLog(hook.server(), evidence.run)
        tags = self._tags(context, window, len(rows.training))
        evidence.store.set_tags(evidence.run, tags)
        log.inputs(window, rows, self.data)
        evidence.keep(RECIPE_PATH, {"function": in_process.address(function), "data": self.data.to_json()})
        model, scores, metrics = fit_and_measure(function, rows, self.data, params)
        classes = recorded_classes(model, rows, self.data, is_matrix=scores.ndim == 2)
        positive = positive_of(rows, self.data) if classes else ""
        if classes:
            tags |= {"mlops.classes": json.dumps(classes)[:_LONGEST_TAG], "mlops.positive": positive}
        evidence.store.log_metrics(evidence.run, metrics)
        log.params({**params, "holdout_share": self.data.holdout_share})
        logged = scores if scores.ndim == 1 else scores[:, -1]  # the value that monitoring compares
        evidence.keep(SCORE_PROFILE_PATH, profile_scores(logged))
        uri = log.model(model, rows, in_process.source_file(function), classes)
        candidate = Candidate(
            model=self.model,
            version="",
            evidence_run=evidence.run,
            window=window,
            trained_rows=len(rows.training),
            holdout_rows=len(rows.holdout),
            metrics=metrics,
            params=params,
            trigger_reason=self.trigger_reason,
            classes=classes,
            positive=positive,
        )
        evidence.keep(CANDIDATE_PATH, candidate)
        version = hook.registry().register(self.model, evidence.run, uri, tags)
        self.log.info("%s version %s: %s", self.model, version.version, metrics)
        return candidate.to_json() | {"version": version.version}

    def _warn(self, rows: Rows) -> None:
        from airflow_mlops.backends.validation.present import present_in
        from airflow_mlops.core.planning.present import never_decided

        if self.policy is None:
            return
        for said in never_decided(self.policy, present_in(rows, self.data, self.policy)):
            self.log.warning("validation cannot decide: %s", said)

    def _read(self) -> Rows:
        from airflow_mlops.backends.training.rows import read_rows
        from airflow_mlops.core.data.window import Window

        asked = Window(uri=self.window["uri"], partitions=tuple(self.window["partitions"]))
        return read_rows(asked, self.data, filesystem_of(asked.uri))

    def _tags(self, context: Context, window: Window, rows: int) -> dict[str, str]:
        from airflow_mlops.backends.training.mlflow_log import version_tags

        dag_run, task = context["dag_run"], context["ti"]
        return {
            "mlops.model": self.model,
            "mlops.dag_id": dag_run.dag_id,
            "mlops.run_id": dag_run.run_id,
            "mlops.try_number": str(task.try_number),
            "mlops.partition": window.partitions[-1] if window.partitions else "",
            "mlops.partitions": json.dumps(list(window.partitions)),
            "mlops.uri": window.uri,
            "mlops.digest": window.digest,
            "mlops.trained_rows": str(rows),
            "mlops.trigger_reason": self.trigger_reason,
            **version_tags(self.function),
        }


def fit_and_measure(
    function: Callable[..., Any], rows: Rows, spec: DatasetSpec, params: dict[str, Any]
) -> tuple[Any, Any, dict[str, float]]:
    """Train on the training rows; return the model with scores and metrics on the held-back rows.

    :raises TrainingError: no model, or one that does not know a class of the held-back rows.
    """
    from airflow_mlops.backends.training import in_process
    from airflow_mlops.backends.validation.classes import (
        labels_of,
        oriented,
        require_known_classes,
        served_order,
    )
    from airflow_mlops.core.validation.metrics.registry import default_metrics

    model = in_process.fit(function, rows, spec, params)
    scores = in_process.scores(model, rows.holdout[rows.features])
    require_known_classes(model, rows, spec, is_matrix=scores.ndim == 2)
    labels = labels_of(rows, spec, is_matrix=scores.ndim == 2)[rows.held_back.to_numpy()]
    return model, scores, default_metrics(labels, oriented(scores, served_order(model, rows, spec)))
