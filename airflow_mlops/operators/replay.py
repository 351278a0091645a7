"""Replay operator: train a registered version again from its recorded recipe, and compare."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.training.candidate import Candidate
from airflow_mlops.core.training.job import DatasetSpec
from airflow_mlops.core.training.replay import (
    replay_verdict,
    require_tolerance,
    same_data,
    same_metrics,
    same_software,
)
from airflow_mlops.core.verdict import Outcome
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.hooks.storage import filesystem_of
from airflow_mlops.links import EvidenceRunLink, FullReportLink
from airflow_mlops.operators.training import fit_and_measure
from airflow_mlops.runtime.evidence import keep_report, open_evidence
from airflow_mlops.runtime.failure import fail_fast
from airflow_mlops.runtime.paths import CANDIDATE_PATH, RECIPE_PATH, REPLAY_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.sdk import Context

    from airflow_mlops.backends.registry.protocol import ModelVersion
    from airflow_mlops.core.verdict import Verdict


DEFAULT_TOLERANCE = 0.001
"""Allowed difference of a metric, by default."""


class ReplayTrainingOperator(BaseOperator):
    """Trains a version again on its recorded data, parameters and function; fails unless the metrics agree.

    Registers nothing. If the digest of the data changed, it does not train: inconclusive. Each recorded
    metric may differ by ``tolerance`` times its magnitude (at least 1). Different packages or commits warn.

    :param model: registered model. Templated.
    :param version: version to train again. Templated.
    :param tolerance: allowed difference of a metric, from 0; empty: the default. Templated.
    :param function: another address ``module:name`` if the recorded one moved; else empty. Templated.
    """

    template_fields: Sequence[str] = ("model", "version", "tolerance", "function")
    operator_extra_links = (EvidenceRunLink(), FullReportLink())
    ui_color = "#fff2cc"

    def __init__(
        self,
        *,
        model: str,
        version: str,
        tolerance: float | str | None = DEFAULT_TOLERANCE,
        function: Callable[..., Any] | str | None = None,
        mlflow_conn_id: str = "mlflow_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.version = version
        self.tolerance = tolerance
        self.function = function
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Train again, store the verdict, and fail unless it is accepted."""
        hook = MlflowHook(self.mlflow_conn_id)
        registry, store = hook.registry(), hook.evidence()
        with fail_fast():
            tolerance = require_tolerance(_number(self.tolerance))
            version = registry.version(self.model, self.version)
            candidate = Candidate.from_json(store.read_json(version.evidence_run, CANDIDATE_PATH))
            recipe = store.read_json(version.evidence_run, RECIPE_PATH)
            evidence = open_evidence(self.mlflow_conn_id, self.model, context)
            verdict = self._replay(version, candidate, recipe, tolerance)
            keep_report(evidence, REPLAY_PATH, verdict.to_json() | {"version": version.version}, context)
            evidence.store.set_tags(
                evidence.run, {"mlops.replay": str(verdict.outcome), "mlops.version": version.version}
            )
            registry.set_tags(self.model, version.version, {"mlops.replay": str(verdict.outcome)})
            passed = verdict.outcome.is_accepted
            evidence.store.close(evidence.run, succeeded=passed)
            verdict.require()
        return verdict.to_json()

    def _replay(
        self, version: ModelVersion, candidate: Candidate, recipe: Mapping[str, Any], tolerance: float
    ) -> Verdict:
        from airflow_mlops.backends.profiling.files.dataset import read_files
        from airflow_mlops.backends.training.in_process import load_function
        from airflow_mlops.backends.training.mlflow_log import version_tags
        from airflow_mlops.backends.training.rows import split_rows

        spec, recorded = DatasetSpec.from_json(recipe["data"]), candidate.window
        function = load_function(self.function or recipe["function"])
        files = filesystem_of(recorded.uri)
        window, table = read_files(recorded.uri, recorded.partitions, filesystem=files)
        data = same_data(recorded, window)
        software = same_software(_software(version.tags), _software(version_tags(function)))
        if data.outcome is not Outcome.PASS:
            return replay_verdict([data, *software])
        rows = split_rows(table, spec, window)
        del table  # training needs the memory
        _, _, metrics = fit_and_measure(function, rows, spec, dict(candidate.params))
        return replay_verdict([data, *same_metrics(candidate.metrics, metrics, tolerance), *software])


def _software(tags: Mapping[str, str]) -> dict[str, str]:
    """Return versions of packages, and the commit, from a version's tags."""
    versions: dict[str, str] = json.loads(tags.get("mlops.versions", "{}"))
    return versions | {"git_sha": tags.get("mlops.git_sha", "")}


def _number(text: float | str | None) -> float:
    if text is None or text == "":
        return DEFAULT_TOLERANCE
    try:
        return float(text)
    except ValueError as error:
        msg = f"replay: tolerance {text!r}, allowed: a number from 0"
        raise InvalidConfigError(msg) from error
