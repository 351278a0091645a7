"""Brief: a verdict small enough to hand over; the full report stays in the evidence run."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.verdict import Finding, Outcome, Severity, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

LIMIT_BYTES = 10_000
LONGEST_TEXT = 300
_OUTCOMES, _SEVERITIES = tuple(Outcome), tuple(Severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictSummary(Verdict):
    """A verdict with the worst of what did not pass.

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


def brief(verdict: Verdict, report: Mapping[str, str], *, limit_bytes: int = LIMIT_BYTES) -> VerdictSummary:
    """Keep the worst findings that fit into ``limit_bytes`` of JSON, none that passed; long texts are cut."""
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
