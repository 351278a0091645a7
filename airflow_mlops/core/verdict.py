"""Outcome, finding and verdict, the answer of every gate; and the short form of a verdict."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.errors import GateFailedError
from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LIMIT_BYTES = 10_000
LONGEST_TEXT = 300


class Outcome(StrEnum):
    """What a gate concluded, from best to worst. Missing data is never ``PASS``."""

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


_OUTCOMES = tuple(Outcome)
_SEVERITIES = tuple(Severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Record):
    """One check and its result.

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
        worst = max((f.outcome for f in kept), key=_OUTCOMES.index, default=Outcome.INCONCLUSIVE)
        return cls(gate=gate, outcome=worst, findings=kept)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Sentences of everything that did not pass, each once; worst first."""
        bad = [f for f in self.findings if f.outcome is not Outcome.PASS]
        worst_first = sorted(bad, key=lambda f: -_OUTCOMES.index(f.outcome))
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


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictSummary(Verdict):
    """A verdict small enough to hand over: outcome and worst findings; the rest is in the full report.

    :param findings_total: how many findings the full report has, passed ones included.
    :param report: where the full report lies: ``evidence_run`` and ``path``.
    """

    findings_total: int
    report: dict[str, str] = field(default_factory=dict)

    def sentence(self) -> str:
        """Return gate, outcome and reasons on one line, and how many findings are left out."""
        said = ": ".join(filter(None, (self.gate, self.outcome, "; ".join(self.reasons))))
        if not self.findings_total:
            return f"{said}; nothing was measured"
        left = self.findings_total - len(self.findings)
        return (
            f"{said}; {left} more findings in {self.report.get('path', 'the full report')}" if left else said
        )


def summary(verdict: Verdict, report: Mapping[str, str], *, limit_bytes: int = LIMIT_BYTES) -> VerdictSummary:
    """Keep the worst findings that fit into ``limit_bytes`` of JSON, none that passed; long texts are cut.

    :param report: where the full report lies: ``evidence_run`` and ``path``.
    """
    short = VerdictSummary(
        gate=verdict.gate,
        outcome=verdict.outcome,
        findings_total=len(verdict.findings),
        report=dict(report),
    )
    room = limit_bytes - _size(short.to_json())
    kept: list[Finding] = []
    notable = (finding for finding in verdict.findings if finding.outcome is not Outcome.PASS)
    for finding in sorted(notable, key=_worst_first):
        cut = _cut(finding)
        room -= _size(cut.to_json()) + 2
        if room < 0:
            break
        kept.append(cut)
    return replace(short, findings=tuple(kept))


def _worst_first(finding: Finding) -> tuple[int, int]:
    return -_OUTCOMES.index(finding.outcome), -_SEVERITIES.index(finding.severity)


def _cut(finding: Finding) -> Finding:
    """Shorten texts that a column's name or a value made long."""
    texts = ("check", "subject", "reason", "observed", "allowed")
    return replace(finding, **{name: _short(getattr(finding, name)) for name in texts})


def _short(value: Any) -> Any:
    if not isinstance(value, str) or len(value) <= LONGEST_TEXT:
        return value
    return value[: LONGEST_TEXT - 1] + "…"


def _size(document: dict[str, Any]) -> int:
    return len(json.dumps(document))
