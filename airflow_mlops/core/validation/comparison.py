"""Challenger against champion, trivial baseline and floor on the same held-back rows, overall and by segment.

Against the champion the question is non-inferiority: the challenger passes when the lower confidence bound of
its gain lies above minus the margin (an intersection-union test over the metrics, Berger 1982; Holm 1979 over
the declared segments). Against the baseline it is superiority. Small allowed losses do not add up without
end: the challenger is also compared with the best earlier champion, the anchor, within a total margin.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.validation.anchor import usable_anchor
from airflow_mlops.core.validation.calibration import calibration
from airflow_mlops.core.validation.dependence.clusters import cluster_findings
from airflow_mlops.core.validation.dependence.windows import window_findings
from airflow_mlops.core.validation.evaluation import Evaluation
from airflow_mlops.core.validation.fairness import fairness
from airflow_mlops.core.validation.metrics.registry import is_bounded
from airflow_mlops.core.validation.paired import concluded, finite_or_none, paired_comparisons
from airflow_mlops.core.validation.policy import (
    OnUnusableChampion,
    alpha_against_anchor,
    alpha_of_try,
    check_side,
)
from airflow_mlops.core.validation.report import (
    OUTCOME_OF_ANSWER,
    Comparison,
    ComparisonAnswer,
    Report,
    Value,
    noted,
)
from airflow_mlops.core.validation.sample import ANCHOR, BASELINE, CHALLENGER, CHAMPION, row_problems
from airflow_mlops.core.validation.segments import declared
from airflow_mlops.core.validation.slices import weak_slices
from airflow_mlops.core.validation.suitability import check_metrics, model_problem
from airflow_mlops.core.verdict import Finding, Outcome, Severity, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_mlops.core.validation.metrics.base import Metric
    from airflow_mlops.core.validation.policy import ValidationPolicy
    from airflow_mlops.core.validation.sample import Sample


_FEW = 200


def judge_candidate(
    sample: Sample,
    policy: ValidationPolicy,
    *,
    own: Sequence[Metric] = (),
    besides: Iterable[Finding] = (),
    tries: int = 1,
    anchor_tries: int = 1,
) -> Report:
    """Compare and conclude; without a champion (cold start) baseline and floor decide alone.

    :param own: the author's metrics and scikit-learn's scorers, by the names the policy uses.
    :param besides: findings of other gates that belong to the same verdict.
    :param tries: how many candidates were judged on these held-back rows, this one included.
    :param anchor_tries: how many were compared with this anchor, on whatever rows, this one included.
    :raises InvalidConfigError: the policy names a metric that is not there.
    """
    asked = [name for name in policy.all_metrics if name not in {one.name for one in own}]
    broken = row_problems(sample) or _challenger_problem(sample, asked)
    if broken:
        return _report(sample, [*broken, *besides])
    check_metrics(sample, asked)
    alpha = alpha_of_try(policy.alpha, tries)
    anchor_alpha = min(alpha, alpha_against_anchor(policy.alpha, anchor_tries))
    evaluation = Evaluation(sample, replace(policy, alpha=alpha), own, anchor_alpha)
    with_champion, findings = _champion(sample, policy, asked)
    with_anchor, lost = usable_anchor(sample, asked)
    rivals = [*([CHAMPION] if with_champion else []), *([ANCHOR] if with_anchor else [])]
    segments = {rival: declared(evaluation, rival) for rival in rivals}
    compared = [one for rival in rivals for one in (*_overall(evaluation, rival), *segments[rival][0])]
    beaten = [_compared(evaluation, name, BASELINE) for name in policy.metrics]
    findings += [
        *lost,
        *(one for rival in rivals[:1] for one in segments[rival][1]),
        *_floors(evaluation),
        *_tried(tries, alpha, policy.alpha),
    ]
    findings += [comparison_finding(one, _needs(policy)) for one in (*beaten, *compared)]
    searched, weak = weak_slices(evaluation, policy.alpha) if with_champion else ([], [])
    findings += [
        *_unbounded(evaluation, rivals),
        *cluster_findings(evaluation, rivals),
        *(one for rival in rivals[:1] for one in window_findings(evaluation, rival)),
    ]
    findings += [*searched, *fairness(evaluation), *calibration(evaluation), *besides]
    return replace(
        _report(sample, findings),
        alpha=alpha,
        tries=tries,
        anchor_tries=anchor_tries,
        anchor_alpha=anchor_alpha,
        values=tuple(_values(evaluation, (CHALLENGER, *rivals, BASELINE))),
        comparisons=(*beaten, *compared),
        weak_slices=tuple(weak),
    )


def _tried(tries: int, alpha: float, whole: float) -> list[Finding]:
    if tries <= 1:
        return []
    said = f"try {tries} on these held-back rows: claims at alpha {alpha:.2g}, of a first try {whole:g}"
    return [noted("tries", said)]


def comparison_finding(comparison: Comparison, needs: str) -> Finding:
    """Return a comparison as a finding.

    :param needs: what a segment needs to be large enough.
    """
    outcome, severity = OUTCOME_OF_ANSWER[comparison.answer], Severity.CRITICAL
    if comparison.answer is ComparisonAnswer.TOO_SMALL:
        severity = Severity.INFO if comparison.segment else Severity.CRITICAL
        outcome = Outcome.PASS if comparison.segment else Outcome.INCONCLUSIVE
    if comparison.pooled and outcome is Outcome.INCONCLUSIVE:
        outcome, severity = Outcome.WARN, Severity.WARNING
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
        rests = f"; {it.metric} rests on {it.units} units" if it.units < _FEW <= it.rows else ""
        return f"{place or it.metric + ': '}{it.rows} rows are too few to tell (needs {needs}){rests}"
    word = str(it.answer)
    if it.rival == BASELINE and it.answer is not ComparisonAnswer.BETTER:
        word = "not shown better"
    p_value = "" if it.p_value is None or not it.segment else f", p {it.p_value:.3g} over all segments"
    return (
        f"{place}{it.metric} {it.challenger:.4f} against {it.rival} {it.other:.4f}: {word} "
        f"(gain {it.lower:+.4f} to {it.upper:+.4f}, allowed {0.0 - it.allowed:.4g}{p_value})"
    )


def _report(sample: Sample, findings: list[Finding]) -> Report:
    rows = len(sample.labels)
    seen = noted("rows", f"judged on {rows} held-back rows, digest {sample.digest or 'not recorded'}")
    verdict = Verdict.of("validation", [*findings, seen])
    return Report(verdict=verdict, rows=rows, rows_digest=sample.digest)


def _values(evaluation: Evaluation, models: Iterable[str]) -> Iterator[Value]:
    """Measure every metric that is compared or has a floor, each model by itself."""
    alpha = evaluation.policy.alpha
    for name in evaluation.policy.measured:
        for model in models:
            (value,) = evaluation.draws(model, name)
            bounds = {
                "lower": finite_or_none(value.lower(alpha)),
                "upper": finite_or_none(value.upper(alpha)),
            }
            yield Value(metric=name, model=model, value=finite_or_none(value.point), **bounds)


def _challenger_problem(sample: Sample, asked: Sequence[str]) -> list[Finding]:
    reason = model_problem(sample, CHALLENGER, asked)
    if not reason:
        return []
    return [Finding(check="predictions", subject=CHALLENGER, outcome=Outcome.FAIL, reason=reason)]


def _unbounded(evaluation: Evaluation, rivals: Sequence[str]) -> Iterator[Finding]:
    """Say up to which loss of a row a claim about a metric without a bound holds."""
    for name in evaluation.policy.metrics if rivals else ():
        if is_bounded(name):
            continue
        (pair,) = paired_comparisons(evaluation, name, rivals[0])
        most = pair.gain.step * pair.segment.rows
        said = f"{name} of one row has no bound: claims hold where no row differs by more than {most:.3g}"
        if pair.gain.is_known and most > 0:
            yield noted(
                name, f"{said}, the most that was seen or allowed for; add a bounded metric for the rest"
            )


def _champion(sample: Sample, policy: ValidationPolicy, asked: Sequence[str]) -> tuple[bool, list[Finding]]:
    """Say whether there is a champion to compare with; if there is none, why and what follows."""
    if CHAMPION not in sample.scores and CHAMPION not in sample.unusable:
        return False, [noted("cold_start", "no champion: judged against baseline and floor only")]
    reason = model_problem(sample, CHAMPION, asked)
    if not reason:
        return True, []
    stops = policy.on_unusable_champion is OnUnusableChampion.STOP
    outcome = Outcome.INCONCLUSIVE if stops else Outcome.WARN
    follows = "" if stops else "; judged against baseline and floor only, as on_unusable_champion says"
    found = Finding(check="predictions", subject=CHAMPION, outcome=outcome, reason=reason + follows)
    return False, [found]


def _needs(policy: ValidationPolicy) -> str:
    few = policy.min_class_rows
    return f"{policy.min_segment_rows} rows, {few} of each class and {few} entities"


def _compared(evaluation: Evaluation, name: str, rival: str) -> Comparison:
    (pair,) = paired_comparisons(evaluation, name, rival)
    return concluded(pair, pair.p_values, evaluation.policy.alpha, evaluation.alpha_against(rival))


def _overall(evaluation: Evaluation, rival: str) -> list[Comparison]:
    """Every metric must pass, so none needs a correction for the others (intersection-union test)."""
    return [_compared(evaluation, name, rival) for name in evaluation.policy.metrics]


def _floors(evaluation: Evaluation) -> list[Finding]:
    policy = evaluation.policy
    asked = (("floor", policy.floor), ("ceiling", policy.ceiling))
    return [_bar(evaluation, where, *one) for where, bars in asked for one in bars.items()]


def _bar(evaluation: Evaluation, where: str, name: str, floor: float) -> Finding:
    """PASS when the confidence bound clears the bar, FAIL when not even the point estimate does."""
    check_side(where, name, is_loss=evaluation.metric(name).sign < 0)
    sign, alpha = evaluation.metric(name).sign, evaluation.policy.alpha
    (value,) = evaluation.draws(CHALLENGER, name)
    signed, (segment,) = value.scaled(sign), evaluation.segments("")[0]
    if evaluation.is_too_small(segment, value):
        outcome = Outcome.INCONCLUSIVE
    elif signed.lower(alpha) >= sign * floor:
        outcome = Outcome.PASS
    else:
        outcome = Outcome.FAIL if signed.point < sign * floor else Outcome.INCONCLUSIVE
    bound = f"{'lower' if sign > 0 else 'upper'} bound {sign * signed.lower(alpha):.4f}"
    reason = f"{name} {value.point:.4f} ({bound}), {where} {floor:g}"
    if evaluation.is_too_small(segment, value):
        reason += f"; too few to tell: rests on {value.units} units (needs {_needs(evaluation.policy)})"
    observed = value.point if np.isfinite(value.point) else None
    return Finding(
        check=where, subject=name, outcome=outcome, reason=reason, observed=observed, allowed=floor
    )
