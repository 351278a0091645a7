"""Outcome, Finding, Verdict: every gate answers with these."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_mlops.core.errors import GateFailedError
from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable


class Outcome(StrEnum):
    """What a gate concluded. Missing data is never ``PASS``."""

    PASS = "pass"  # noqa: S105 - an outcome, not a password
    WARN = "warn"
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"
    ERROR = "error"

    @property
    def is_accepted(self) -> bool:
        """Whether the work may go on: ``PASS`` or ``WARN``; what could not be measured is not accepted."""
        return self in {Outcome.PASS, Outcome.WARN}


class Severity(StrEnum):
    """How much a failed check matters: only ``CRITICAL`` stops a run."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


_BAD_TO_WORSE = tuple(Outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Record):
    """One check and what it found.

    :param check: stable name of the rule, e.g. ``null_share``.
    :param subject: what was checked: a column, a metric, a segment.
    :param reason: one sentence a person can act on: ``dep_delay: null share 0.31, allowed 0.05``.
    """

    check: str
    subject: str
    outcome: Outcome
    reason: str
    severity: Severity = Severity.CRITICAL
    observed: float | int | str | None = None
    allowed: float | int | str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict(Record):
    """Answer of one gate: an outcome and the findings it rests on."""

    gate: str
    outcome: Outcome
    findings: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, gate: str, findings: Iterable[Finding]) -> Verdict:
        """Conclude the worst of the findings; no findings at all is ``INCONCLUSIVE``."""
        kept = tuple(findings)
        worst = max((f.outcome for f in kept), key=_BAD_TO_WORSE.index, default=Outcome.INCONCLUSIVE)
        return cls(gate=gate, outcome=worst, findings=kept)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Sentences of everything that did not pass, each once; worst first."""
        bad = [f for f in self.findings if f.outcome is not Outcome.PASS]
        worst_first = sorted(bad, key=lambda f: -_BAD_TO_WORSE.index(f.outcome))
        return tuple(dict.fromkeys(f.reason for f in worst_first))

    def sentence(self) -> str:
        """Return gate, outcome and reasons on one line."""
        why = "; ".join(self.reasons) or ("nothing was measured" if not self.findings else "")
        return f"{self.gate}: {self.outcome}" + (f": {why}" if why else "")

    def require(self, *accepted: Outcome) -> None:
        """Stop the work unless the outcome is accepted.

        :param accepted: outcomes to accept; without any, :attr:`Outcome.is_accepted` decides.
        :raises GateFailedError: with every reason, worst first.
        """
        if not (self.outcome in accepted if accepted else self.outcome.is_accepted):
            raise GateFailedError(self.sentence())
