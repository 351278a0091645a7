"""Evidence store in MLflow: one run per DAG run, in the experiment of the model's name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.mlflow_server import is_outage
from airflow_mlops.core.errors import InvalidConfigError, InvalidRecordError, RegistryRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow import MlflowClient
    from mlflow.entities import Experiment

    from airflow_mlops.backends.evidence.protocol import EvidenceKey
    from airflow_mlops.backends.mlflow_server import MlflowServer

_PAGE = 1000


class MlflowEvidence:
    """Implements :class:`~airflow_mlops.backends.evidence.protocol.EvidenceStore`."""

    def __init__(self, server: MlflowServer) -> None:
        self.server = server

    def open(self, key: EvidenceKey, tags: Mapping[str, str] | None = None) -> str:
        """Find the run of ``key`` by its tags, or create it; of concurrent ones the earliest is used."""
        identity = {"mlops.model": key.model, "mlops.dag_id": key.dag_id, "mlops.run_id": key.run_id}
        with self.server.session() as client:
            experiment = _experiment(client, key.model)
            found = _search(client, experiment, identity, "ASC", 1)
            if not found:
                named = {**identity, "mlflow.runName": f"{key.dag_id} {key.run_id}"}
                client.create_run(experiment, tags=named)
                found = _search(client, experiment, identity, "ASC", 1)
            run = found[0][0]
            for name, value in (tags or {}).items():
                client.set_tag(run, name, value)
        return run

    def write_json(self, evidence_run: str, path: str, document: Mapping[str, Any]) -> None:
        """Store a document as an artifact of the run."""
        self.write_text(evidence_run, path, json.dumps(document, indent=1, allow_nan=False))

    def read_json(self, evidence_run: str, path: str) -> dict[str, Any]:
        """Return a stored document."""
        import mlflow
        from mlflow.exceptions import MlflowException

        with self.server.session():
            try:
                text = mlflow.artifacts.load_text(f"runs:/{evidence_run}/{path}")
            except (MlflowException, OSError) as error:
                if is_outage(error):
                    raise
                msg = f"evidence run {evidence_run} has no document {path!r}"
                raise InvalidRecordError(msg) from error
        document: dict[str, Any] = json.loads(text)
        return document

    def write_text(self, evidence_run: str, path: str, text: str) -> None:
        """Store a text as an artifact of the run."""
        with self.server.session() as client:
            client.log_text(evidence_run, text, path)

    def set_tags(self, evidence_run: str, tags: Mapping[str, str]) -> None:
        """Set tags on the run."""
        with self.server.session() as client:
            for name, value in tags.items():
                client.set_tag(evidence_run, name, value)

    def tags(self, evidence_run: str) -> dict[str, str]:
        """Return all tags of the run."""
        with self.server.session() as client:
            return dict(client.get_run(evidence_run).data.tags)

    def log_metrics(self, evidence_run: str, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Log numbers under their names."""
        with self.server.session() as client:
            for name, value in metrics.items():
                client.log_metric(evidence_run, name, value, step=step)

    def find(self, model: str, tags: Mapping[str, str], *, limit: int | None = None) -> list[str]:
        """Return ids of runs that carry all tags, newest first."""
        return [run for run, _ in self.search(model, tags, limit=limit)]

    def search(
        self, model: str, tags: Mapping[str, str], *, limit: int | None = None
    ) -> list[tuple[str, dict[str, str]]]:
        """Return id and tags of runs that carry all tags, newest first."""
        with self.server.session() as client:
            experiment = client.get_experiment_by_name(model)
            return _search(client, _usable(experiment), tags, "DESC", limit) if experiment else []

    def close(self, evidence_run: str, *, succeeded: bool) -> None:
        """Mark the run finished or failed."""
        with self.server.session() as client:
            client.set_terminated(evidence_run, "FINISHED" if succeeded else "FAILED")


def _experiment(client: MlflowClient, name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:  # another process created it between the two calls
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return _usable(found)


def _usable(experiment: Experiment) -> str:
    """Return an experiment's id.

    :raises RegistryRefusedError: a person deleted it, and with it the evidence of all runs.
    """
    number = str(experiment.experiment_id)
    if experiment.lifecycle_stage == "deleted":
        msg = (
            f"experiment {experiment.name!r} is deleted in MLflow, and with it the model's evidence; "
            f"restore it: mlflow experiments restore --experiment-id {number}; or delete it for good: "
            f"mlflow gc --experiment-ids {number}"
        )
        raise RegistryRefusedError(msg)
    return number


def _search(
    client: MlflowClient, experiment: str, tags: Mapping[str, str], order: str, limit: int | None
) -> list[tuple[str, dict[str, str]]]:
    """Return id and tags of runs, page by page up to the limit."""
    for value in tags.values():
        if "'" in value:
            msg = f"tag value {value!r} holds a quote; model, DAG and run names may not"
            raise InvalidConfigError(msg)
    where = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
    order_by = [f"attributes.start_time {order}", f"attributes.run_id {order}"]
    found: dict[str, dict[str, str]] = {}  # a run that starts between two pages shifts one into both
    token = None
    while limit is None or len(found) < limit:
        most = _PAGE if limit is None else min(_PAGE, limit - len(found))
        page = client.search_runs([experiment], where, order_by=order_by, max_results=most, page_token=token)
        found |= {str(run.info.run_id): dict(run.data.tags) for run in page}
        token = page.token
        if not token:
            break
    return list(found.items())
