"""Model registry in memory: for tests, and for operators without a server."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.backends.registry.ledger_order import decided_before, done_before, refuse_moved
from airflow_mlops.backends.registry.protocol import (
    CHAMPION_ALIAS,
    PREVIOUS,
    DecisionEntry,
    LedgerEntry,
    ModelVersion,
    unknown_version,
)
from airflow_mlops.core.errors import InvalidConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mlops.core.rollout.end import RolloutEnd


class InMemoryRegistry:
    """Implements :class:`~airflow_mlops.backends.registry.protocol.ModelRegistry`.

    :param now: creation time given to versions, seconds since the epoch; set it to move time.
    """

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self._versions: dict[str, list[ModelVersion]] = {}
        self._sources: dict[tuple[str, str], str] = {}
        self._aliases: dict[tuple[str, str], str] = {}
        self._ledger: list[LedgerEntry] = []
        self._decisions: list[DecisionEntry] = []
        self._ends: list[RolloutEnd] = []

    def register(
        self, model: str, evidence_run: str, model_uri: str, tags: Mapping[str, str]
    ) -> ModelVersion:
        """Register once per evidence run."""
        done = self.registered(model, evidence_run)
        if done is not None:
            return done
        known = self._versions.setdefault(model, [])
        version = ModelVersion(
            model=model,
            version=str(len(known) + 1),
            evidence_run=evidence_run,
            created_at=self.now,
            tags={**tags, "mlops.evidence_run": evidence_run},
        )
        known.append(version)
        self._sources[model, version.version] = model_uri
        return version

    def registered(self, model: str, evidence_run: str) -> ModelVersion | None:
        """Return the version of an evidence run."""
        mine = (each for each in self._versions.get(model, ()) if each.evidence_run == evidence_run)
        return next(mine, None)

    def version(self, model: str, version: str) -> ModelVersion:
        """Return a version."""
        for known in self.versions(model):
            if known.version == str(version):
                return known
        raise InvalidConfigError(unknown_version(model, version, self.versions(model)))

    def versions(self, model: str) -> list[ModelVersion]:
        """Return all versions, newest first."""
        return self._versions.get(model, [])[::-1]

    def alias(self, model: str, alias: str) -> str | None:
        """Return the version an alias points to."""
        return self._aliases.get((model, alias))

    def promote(self, entry: LedgerEntry) -> LedgerEntry:
        """Move the aliases and append to the ledger."""
        entry = replace(entry, identity=self.version(entry.model, entry.to_version).identity)
        kept, current = self.ledger(entry.model), self.alias(entry.model, CHAMPION_ALIAS)
        done = done_before(entry, kept)
        if done is not None and current == entry.to_version:
            return done
        refuse_moved(entry, kept, current)
        if entry.from_version is not None:
            self._aliases[entry.model, PREVIOUS] = entry.from_version
        self._aliases[entry.model, CHAMPION_ALIAS] = entry.to_version
        after = kept[-1].number if kept else 0
        entry = replace(entry, number=self._next_number(entry.model), after=after)
        self._ledger.append(entry)
        return entry

    def settle(self, model: str) -> str | None:
        """Return the champion: here no promotion can be interrupted."""
        return self.alias(model, CHAMPION_ALIAS)

    def ledger(self, model: str) -> list[LedgerEntry]:
        """Return all changes of champion, oldest first."""
        return [entry for entry in self._ledger if entry.model == model]

    def decide(self, entry: DecisionEntry) -> DecisionEntry:
        """Append a decision, once."""
        self.version(entry.model, entry.version)
        before = decided_before(entry, self.decisions(entry.model))
        if before is not None:
            return before
        entry = replace(entry, number=self._next_number(entry.model))
        self._decisions.append(entry)
        return entry

    def decisions(self, model: str) -> list[DecisionEntry]:
        """Return all decisions, oldest first."""
        return [entry for entry in self._decisions if entry.model == model]

    def record_end(self, end: RolloutEnd) -> RolloutEnd:
        """Append the end of a rollout, once."""
        for known in self._ends:
            if known.id == end.id:
                return known
        end = replace(end, number=self._next_number(end.model))
        self._ends.append(end)
        return end

    def ends(self, model: str) -> list[RolloutEnd]:
        """Return how rollouts ended, oldest first."""
        return [end for end in self._ends if end.model == model]

    def _next_number(self, model: str) -> int:
        return len(self.ledger(model)) + len(self.decisions(model)) + len(self.ends(model)) + 1

    def set_tags(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags on a version."""
        self.version(model, version).tags.update(tags)

    def download(self, model: str, version: str, target: Path) -> Path:
        """Copy the folder the version was registered from below ``target``."""
        self.version(model, version)
        source = Path(self._sources[model, str(version)])
        return Path(shutil.copytree(source, target / "model", dirs_exist_ok=True))
