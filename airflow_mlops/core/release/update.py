"""The report of one update: what is known about a version, where it stands and why, and what is not known."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from airflow_mlops.core.data.skew.report import SkewTest
from airflow_mlops.core.record import Record
from airflow_mlops.core.release.approval import ApprovalDecision
from airflow_mlops.core.release.readiness import ReadinessReport
from airflow_mlops.core.rollout.history import RolloutHistory
from airflow_mlops.core.summary import VerdictSummary
from airflow_mlops.core.training.candidate import Candidate
from airflow_mlops.core.validation.report import Report
from airflow_mlops.core.verdict import Outcome

REPORT_FORMAT = 1
"""Raised when a key of the JSON is renamed or means something else; new keys do not raise it."""


class State(StrEnum):
    """Where the version stands."""

    UNDECIDED = "undecided"
    REFUSED = "refused"
    NOT_READY = "not ready"
    REJECTED = "rejected"
    CHALLENGER = "challenger"
    ROLLING_OUT = "rolling out"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate(Record):
    """One gate on the way, with its answer; ``outcome`` is ``None`` if it did not answer.

    :param reasons: of what did not pass, worst first, at most ten; ``more`` says how many were left out.
    """

    name: str
    outcome: Outcome | None = None
    reasons: tuple[str, ...] = ()
    more: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing(Record):
    """A part of the report that is not there: not passed, not failed, not known."""

    part: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnNulls(Record):
    """A column with missing values, 0 to 1."""

    name: str
    null_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateData(Record):
    """The new data that started the update.

    :param partitions: keys; empty for the whole dataset.
    :param nulls: columns with missing values, most first, at most ten.
    """

    rows: int
    columns: int
    partitions: tuple[str, ...] = ()
    nulls: tuple[ColumnNulls, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateSkew(Record):
    """What moved against the reference.

    :param tests: the strongest, at most ten.
    :param skewed: columns that moved surely more than allowed.
    """

    reference_rows: int
    current_rows: int
    skewed: tuple[str, ...] = ()
    tests: tuple[SkewTest, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CardState(Record):
    """Titles of the model card's sections that say something, and of those that do not."""

    stated: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateRollout(Record):
    """One rollout of the version.

    :param outcome: ``promoted``, ``rolled_back``; empty while it is under way.
    :param history: empty until the rollout ended.
    """

    evidence_run: str
    outcome: str = ""
    history: RolloutHistory | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts(Record):
    """What was found in the evidence; ``None`` where nothing was.

    :param schema: its worst findings; with many columns a whole verdict is too much. ``skew_verdict`` alike.
    :param nominated: whether the version was made a challenger.
    :param rollouts: newest first.
    :param missing: why a part is not there.
    """

    candidate: Candidate | None = None
    data: UpdateData | None = None
    schema: VerdictSummary | None = None
    skew_verdict: VerdictSummary | None = None
    skew: UpdateSkew | None = None
    validation: Report | None = None
    readiness: ReadinessReport | None = None
    card: CardState | None = None
    approval: ApprovalDecision | None = None
    nominated: bool = False
    rollouts: tuple[UpdateRollout, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateReport(Parts):
    """All that is known about one update of a model.

    :param format: version of this record's JSON.
    :param written_at: ISO 8601, UTC.
    :param reasons: why the version stands where it does, the most important first.
    :param gates: every gate in the order of the run, also those that did not answer.
    """

    format: int = REPORT_FORMAT
    model: str
    version: str
    evidence_run: str
    written_at: str
    state: State
    reasons: tuple[str, ...] = ()
    gates: tuple[Gate, ...] = ()
