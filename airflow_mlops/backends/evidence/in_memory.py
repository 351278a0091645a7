"""Evidence store in memory: for tests, and for operators without a server."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.errors import InvalidRecordError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mlops.backends.evidence.protocol import EvidenceKey


@dataclass(slots=True)
class _Run:
    model: str
    tags: dict[str, str]
    documents: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    status: str = "RUNNING"


class InMemoryEvidence:
    """Implements :class:`~airflow_mlops.backends.evidence.protocol.EvidenceStore`."""

    def __init__(self) -> None:
        self.runs: dict[str, _Run] = {}

    def open(self, key: EvidenceKey, tags: Mapping[str, str] | None = None) -> str:
        """Return the run of ``key``, created at the first call."""
        run_id = f"{key.dag_id}/{key.run_id}"
        identity = {"mlops.model": key.model, "mlops.dag_id": key.dag_id, "mlops.run_id": key.run_id}
        self.runs.setdefault(run_id, _Run(model=key.model, tags=identity)).tags.update(tags or {})
        return run_id

    def write_json(self, evidence_run: str, path: str, document: Mapping[str, Any]) -> None:
        """Store a document."""
        self.runs[evidence_run].documents[path] = copy.deepcopy(dict(document))

    def read_json(self, evidence_run: str, path: str) -> dict[str, Any]:
        """Return a stored document."""
        run = self.runs.get(evidence_run)
        if run is None or path not in run.documents:
            msg = f"evidence run {evidence_run} has no document {path!r}"
            raise InvalidRecordError(msg)
        document: dict[str, Any] = copy.deepcopy(run.documents[path])
        return document

    def write_text(self, evidence_run: str, path: str, text: str) -> None:
        """Store a text."""
        self.runs[evidence_run].documents[path] = text

    def set_tags(self, evidence_run: str, tags: Mapping[str, str]) -> None:
        """Set tags."""
        self.runs[evidence_run].tags.update(tags)

    def tags(self, evidence_run: str) -> dict[str, str]:
        """Return all tags."""
        return dict(self.runs[evidence_run].tags)

    def log_metrics(self, evidence_run: str, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Store the last value of each metric."""
        self.runs[evidence_run].metrics.update(metrics)

    def find(self, model: str, tags: Mapping[str, str], *, limit: int | None = None) -> list[str]:
        """Return ids of runs that carry all tags, newest first."""
        matching = [
            run_id
            for run_id, run in self.runs.items()
            if run.model == model and tags.items() <= run.tags.items()
        ]
        return matching[::-1][:limit]

    def search(
        self, model: str, tags: Mapping[str, str], *, limit: int | None = None
    ) -> list[tuple[str, dict[str, str]]]:
        """Return id and tags of runs that carry all tags, newest first."""
        return [(run, self.tags(run)) for run in self.find(model, tags, limit=limit)]

    def close(self, evidence_run: str, *, succeeded: bool) -> None:
        """Mark the run finished or failed."""
        self.runs[evidence_run].status = "FINISHED" if succeeded else "FAILED"
