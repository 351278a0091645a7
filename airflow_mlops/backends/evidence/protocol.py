"""Port: store of what a DAG run measured and decided (one evidence run per DAG run)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceKey(Record):
    """Identity of a DAG run: the same for all its tasks, retries and clears."""

    model: str
    dag_id: str
    run_id: str


class EvidenceStore(Protocol):
    """Documents, numbers and tags of one DAG run; every call is idempotent."""

    def open(self, key: EvidenceKey, tags: Mapping[str, str] | None = None) -> str:
        """Return the id of the evidence run of ``key``, created if it does not exist; sets ``tags``."""

    def write_json(self, evidence_run: str, path: str, document: Mapping[str, Any]) -> None:
        """Store ``document`` under ``path`` (``/``-separated, ends in ``.json``), replacing an older one."""

    def read_json(self, evidence_run: str, path: str) -> dict[str, Any]:
        """Return a stored document.

        :raises InvalidRecordError: there is none; names run and path.
        """

    def write_text(self, evidence_run: str, path: str, text: str) -> None:
        """Store a text document (YAML, Markdown, HTML) under ``path``."""

    def set_tags(self, evidence_run: str, tags: Mapping[str, str]) -> None:
        """Set tags on the evidence run."""

    def tags(self, evidence_run: str) -> dict[str, str]:
        """Return all tags of the evidence run."""

    def log_metrics(self, evidence_run: str, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Log finite numbers under their names."""

    def find(self, model: str, tags: Mapping[str, str], *, limit: int | None = None) -> list[str]:
        """Return ids of evidence runs of ``model`` that carry all ``tags``, newest first.

        :param limit: at most so many; ``None`` for all there are.
        """

    def search(
        self, model: str, tags: Mapping[str, str], *, limit: int | None = None
    ) -> list[tuple[str, dict[str, str]]]:
        """Return id and all tags of the runs that :meth:`find` finds; newest first."""

    def close(self, evidence_run: str, *, succeeded: bool) -> None:
        """Mark the run finished or failed."""
