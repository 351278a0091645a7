"""How the challenger does beside a rival: better, not worse, worse, too close or too small to tell."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_mlops.core.validation.estimate import Estimate
from airflow_mlops.core.validation.evaluation import Segment
from airflow_mlops.core.validation.report import OUTCOME_OF_ANSWER, Comparison, ComparisonAnswer
from airflow_mlops.core.validation.sample import BASELINE, CHALLENGER, CHAMPION
from airflow_mlops.core.verdict import Finding, Outcome, Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.validation.evaluation import Evaluation


@dataclass(frozen=True)
class PairedComparison:
    """One metric of both models on one part of the rows.

    :param slack: gain plus what is allowed: surely above 0 means not worse by more than that.
    """

    metric: str
    rival: str
    part: Segment
    mine: Estimate
    theirs: Estimate
    gain: Estimate
    slack: Estimate
    too_small: bool
    no_value: bool = False

    @property
    def doubts(self) -> tuple[float, float, float]:
        """p-values against: worse by more than allowed, not better, not worse at all."""
        return self.slack.doubt_above(0.0), self.gain.doubt_above(0.0), self.gain.doubt_below(0.0)


def paired_comparisons(study: Evaluation, name: str, rival: str, column: str = "") -> list[PairedComparison]:
    """Compare one metric in every part that a column makes of the rows."""
    policy, sign = study.policy, study.metric(name).sign
    parts, _ = study.parts(column)
    pairs = zip(study.draws(CHALLENGER, name, column), study.draws(rival, name, column), strict=True)
    found = []
    differs = study.differs(rival, column)
    for part, differ, (mine, theirs) in zip(parts, differs, pairs, strict=True):
        gain = (mine - theirs).scaled(sign)
        if not differ:
            gain = replace(gain, reach=0.0)  # the same scores: the same model, as far as anybody can tell
        slack = gain
        if rival == CHAMPION and name in policy.relative_margin:
            slack = gain + theirs.size().scaled(policy.relative_margin[name])
        elif rival == CHAMPION:
            slack = gain.shifted(policy.max_segment_drop if column else policy.margin[name])
        too_small = study.is_too_small(part, mine, theirs)
        no_value = not mine.is_known and not study.is_too_small(part, theirs)
        found.append(PairedComparison(name, rival, part, mine, theirs, gain, slack, too_small, no_value))
    return found


def holm(doubts: Sequence[float]) -> list[float]:
    """Return p-values adjusted so that the chance of any false claim stays below alpha (Holm 1979)."""
    adjusted, worst = [0.0] * len(doubts), 0.0
    for place, index in enumerate(sorted(range(len(doubts)), key=doubts.__getitem__)):
        worst = max(worst, min(1.0, (len(doubts) - place) * doubts[index]))
        adjusted[index] = worst
    return adjusted


def concluded(contest: PairedComparison, doubts: tuple[float, float, float], alpha: float) -> Comparison:
    """Conclude from p-values, adjusted or not."""
    not_worse, better, worse = doubts
    if contest.no_value:
        answer = ComparisonAnswer.NO_VALUE
    elif contest.too_small:
        answer = ComparisonAnswer.TOO_SMALL
    elif not_worse <= alpha:
        answer = ComparisonAnswer.BETTER if better <= alpha else ComparisonAnswer.NOT_WORSE
    else:
        answer = ComparisonAnswer.WORSE if worse <= alpha else ComparisonAnswer.TOO_CLOSE
    gain = contest.gain
    return Comparison(
        metric=contest.metric,
        rival=contest.rival,
        segment=contest.part.name,
        rows=contest.part.rows,
        challenger=known(contest.mine.point),
        other=known(contest.theirs.point),
        gain=known(gain.point),
        lower=known(gain.lower(alpha)),
        upper=known(gain.upper(alpha)),
        allowed=contest.slack.point - gain.point if gain.is_known else 0.0,
        doubt=None if contest.too_small else not_worse,
        answer=answer,
    )


def finding(comparison: Comparison, needs: str) -> Finding:
    """Put a comparison into words.

    :param needs: what a part needs to be large enough.
    """
    outcome, severity = OUTCOME_OF_ANSWER[comparison.answer], Severity.CRITICAL
    if comparison.answer is ComparisonAnswer.TOO_SMALL:
        severity = Severity.INFO if comparison.segment else Severity.CRITICAL
        outcome = Outcome.PASS if comparison.segment else Outcome.INCONCLUSIVE
    if comparison.rival == BASELINE and comparison.answer is not ComparisonAnswer.BETTER:
        outcome = Outcome.INCONCLUSIVE if (comparison.gain or 0.0) > 0 else Outcome.FAIL
    return Finding(
        check=f"against_{comparison.rival}",
        subject=comparison.segment or comparison.metric,
        outcome=outcome,
        severity=severity,
        reason=_sentence(comparison, needs),
        observed=comparison.challenger,
        allowed=comparison.other,
    )


def _sentence(it: Comparison, needs: str) -> str:
    place = f"{it.segment}: " if it.segment else ""
    if it.answer is ComparisonAnswer.NO_VALUE:
        return f"{place}{it.metric} has a value for {it.rival}, none for challenger on these {it.rows} rows"
    if it.answer is ComparisonAnswer.TOO_SMALL and (it.challenger is None or it.other is None):
        return f"{place}{it.metric} has no value on these {it.rows} rows for challenger or {it.rival}"
    if it.answer is ComparisonAnswer.TOO_SMALL:
        return f"{place or it.metric + ': '}{it.rows} rows are too few to tell (needs {needs})"
    word = str(it.answer)
    if it.rival == BASELINE and it.answer is not ComparisonAnswer.BETTER:
        word = "not shown better"
    doubt = "" if it.doubt is None or not it.segment else f", p {it.doubt:.3g} over all segments"
    return (
        f"{place}{it.metric} {it.challenger:.4f} against {it.rival} {it.other:.4f}: {word} "
        f"(gain {it.lower:+.4f} to {it.upper:+.4f}, allowed {0.0 - it.allowed:.4g}{doubt})"
    )


def known(value: float) -> float | None:
    """Return a number for a record: ``None`` where there is none."""
    return value if math.isfinite(value) else None
