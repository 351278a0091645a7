"""Port: registered model versions, aliases, and the ledger of promotions and decisions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from airflow_mlops.core.record import Record
from airflow_mlops.moved import names_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from airflow_mlops.core.rollout.end import RolloutEnd

__getattr__ = names_of(__name__)

CHAMPION_ALIAS = "champion"
PREVIOUS = "previous"
PROMOTION, ROLLBACK, DECISION, ANSWER = "promotion", "rollback", "decision", "answer"
PERSON, TIMEOUT, NO_WARNING = "person", "timeout", "no warning"
_TOLD = 10
_DECIDED_BY = {
    PERSON: "a person",
    TIMEOUT: "the default, without an answer in time",
    NO_WARNING: "the configuration, without a warning",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion(Record):
    """One registered version.

    :param version: the registry's version, always a string (``"3"``).
    :param evidence_run: the run it was trained in.
    :param created_at: seconds since the epoch, UTC.
    """

    model: str
    version: str
    evidence_run: str
    created_at: float
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """Return what tells it from a version of the same number, of a model deleted and made again."""
        return self.evidence_run or f"created {self.created_at:.3f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry(Record):
    """Who made which version champion, when and why.

    :param at: seconds since the epoch, UTC.
    :param kind: ``promotion`` or ``rollback``.
    :param verdicts: addresses of the verdicts it rests on: ``<evidence run>/<path>``.
    :param approval: who approved the version before its rollout, with the comment; empty without approval.
    :param evidence_run: the run that holds a copy of this entry.
    :param number: sequence number in the model's ledger, from 1; 0 for entries older than numbering. Set by
        the registry.
    :param after: number of the entry it follows, 0 for the first. Set by the registry.
    :param claim: unique id of this attempt. Set by the registry.
    :param identity: of ``to_version``; empty for entries of earlier releases. Set by the registry.
    """

    model: str
    from_version: str | None
    to_version: str
    reason: str
    actor: str = ""
    dag_id: str = ""
    run_id: str = ""
    at: float = 0.0
    kind: str = PROMOTION
    verdicts: tuple[str, ...] = ()
    approval: str = ""
    evidence_run: str = ""
    number: int = 0
    after: int = 0
    claim: str = ""
    identity: str = ""

    def names(self, version: ModelVersion) -> bool:
        """Return whether the entry made this very version champion: the same number is not enough."""
        return self.to_version == version.version and self.identity in ("", version.identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionEntry(Record):
    """A person's decision: an entry of the ledger that moves no alias.

    :param decision: ``approved`` or ``rejected``; of an answer ``go on at 10 %`` or ``roll back at 10 %``.
    :param kind: ``decision`` about a candidate, or ``answer`` to a rollout's question.
    :param because: who or what decided: ``person``, ``timeout`` (the default that was stated) or
        ``no warning``.
    :param actor: the person's name; empty unless a person decided.
    :param user: the person's id in Airflow's auth manager.
    :param at: seconds since the epoch, UTC.
    :param verdicts: addresses of the verdicts shown to the person: ``<evidence run>/<path>``.
    :param evidence_run: the run that holds a copy of this entry.
    :param number: sequence number in the model's ledger, shared with promotions. Set by the registry.
    """

    model: str
    version: str
    decision: str
    because: str = PERSON
    actor: str = ""
    user: str = ""
    comment: str = ""
    dag_id: str = ""
    run_id: str = ""
    at: float = 0.0
    kind: str = DECISION
    verdicts: tuple[str, ...] = ()
    evidence_run: str = ""
    number: int = 0

    @property
    def by(self) -> str:
        """Return who decided, as text."""
        return self.actor or _DECIDED_BY.get(self.because, self.because)

    @property
    def sentence(self) -> str:
        """Return the decision on one line, for the entry of the promotion that follows."""
        return f"{self.decision} by {self.by}" + (f": {self.comment}" if self.comment else "")


def unknown_version(model: str, version: str, known: Sequence[ModelVersion]) -> str:
    """Return the message that a model has no such version, or that none was named, with the newest it has.

    :param known: all of its versions, newest first.
    """
    newest = ", ".join(each.version for each in known[:_TOLD])
    there = f"{len(known)} versions, the newest: {newest}" if len(known) > _TOLD else f"versions: {newest}"
    problem = f"has no version {version!r}" if version else "was given no version, one is needed"
    return f"model {model!r} {problem}; {there if known else 'none registered yet'}"


class ModelRegistry(Protocol):
    """Versions, aliases by compare-and-set, and the ledger; an alias is never overwritten unseen."""

    def register(
        self, model: str, evidence_run: str, model_uri: str, tags: Mapping[str, str]
    ) -> ModelVersion:
        """Register one version for ``evidence_run``; a second call returns the first's version."""

    def registered(self, model: str, evidence_run: str) -> ModelVersion | None:
        """Return the version that was registered for ``evidence_run``, ``None`` if there is none.

        Of several, left by a process that died between two calls, the lowest stays; others are deleted.
        """

    def version(self, model: str, version: str) -> ModelVersion:
        """Return a version.

        :raises InvalidConfigError: no such model or version.
        """

    def versions(self, model: str) -> list[ModelVersion]:
        """Return all versions, newest first; none for an unknown model."""

    def alias(self, model: str, alias: str) -> str | None:
        """Return the version an alias points to; ``None`` for no model, no alias (a cold start)."""

    def promote(self, entry: LedgerEntry) -> LedgerEntry:
        """Move ``champion`` to ``entry.to_version`` and ``previous`` to ``entry.from_version``.

        Of concurrent promotions against the same champion exactly one wins and is in the ledger. It is
        idempotent per DAG run: promoting again completes what was interrupted, returns the first entry and
        appends none.

        :raises RegistryConflictError: ``champion`` is not ``entry.from_version`` any more.
        :raises InvalidConfigError: no such model or version; nothing was changed.
        """

    def settle(self, model: str) -> str | None:
        """Complete a promotion that won but was interrupted before the alias; return the champion.

        One of a version that is another model by now, of the same number, is void.
        """

    def ledger(self, model: str) -> list[LedgerEntry]:
        """Return all changes of champion, oldest first."""

    def decide(self, entry: DecisionEntry) -> DecisionEntry:
        """Append a decision, idempotent: an equal decision of the same DAG run is returned instead.

        Moves no alias and does not affect concurrent promotions.

        :raises InvalidConfigError: no such model or version; nothing was written.
        """

    def decisions(self, model: str) -> list[DecisionEntry]:
        """Return all decisions, oldest first."""

    def record_end(self, end: RolloutEnd) -> RolloutEnd:
        """Append how a rollout ended; one with the same id that is there already is returned instead.

        Moves no alias, and no promotion waits for it or loses by it.
        """

    def ends(self, model: str) -> list[RolloutEnd]:
        """Return how rollouts ended, oldest first."""

    def set_tags(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags on a version."""

    def download(self, model: str, version: str, target: Path) -> Path:
        """Copy the version's model folder below ``target``; return the folder that holds ``MLmodel``."""
