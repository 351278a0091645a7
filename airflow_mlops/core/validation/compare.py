"""Challenger against champion, trivial baseline and floor on the same held-back rows, whole and in parts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.validation.calibration import calibration
from airflow_mlops.core.validation.comparison import concluded, finding, holm, known, paired_comparisons
from airflow_mlops.core.validation.evaluation import Evaluation
from airflow_mlops.core.validation.fairness import fairness
from airflow_mlops.core.validation.policy import OnUnusableChampion
from airflow_mlops.core.validation.report import Report, Value, noted
from airflow_mlops.core.validation.sample import BASELINE, CHALLENGER, CHAMPION, row_problems
from airflow_mlops.core.validation.slices import weak_slices
from airflow_mlops.core.validation.suitability import check_metrics, model_problem
from airflow_mlops.core.verdict import Finding, Outcome, Verdict
from airflow_mlops.moved import names_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_mlops.core.validation.metrics.base import Metric
    from airflow_mlops.core.validation.policy import ValidationPolicy
    from airflow_mlops.core.validation.report import Comparison
    from airflow_mlops.core.validation.sample import Sample

__getattr__ = names_of(__name__)


def judge_candidate(
    sample: Sample,
    policy: ValidationPolicy,
    *,
    own: Sequence[Metric] = (),
    besides: Iterable[Finding] = (),
) -> Report:
    """Compare and conclude; without a champion (cold start) baseline and floor decide alone.

    :param own: the author's metrics and scikit-learn's scorers, by the names the policy uses.
    :param besides: findings of other gates that belong to the same verdict.
    :raises InvalidConfigError: the policy names a metric that is not there.
    """
    asked = [name for name in policy.all_metrics if name not in {one.name for one in own}]
    broken = row_problems(sample) or _challenger_problem(sample, asked)
    if broken:
        return _report(sample, [*broken, *besides])
    check_metrics(sample, asked)
    study = Evaluation(sample, policy, own)
    with_champion, findings = _champion(sample, policy, asked)
    compared = [] if not with_champion else [*_overall(study), *_declared(study)]
    beaten = [_compared(study, name, BASELINE) for name in policy.metrics]
    findings += [*_floors(study), *(finding(one, _needs(policy)) for one in (*beaten, *compared))]
    searched, weak = weak_slices(study) if with_champion else ([], [])
    findings += [*searched, *fairness(study), *calibration(study), *besides]
    rivals = (CHAMPION, BASELINE) if with_champion else (BASELINE,)
    return replace(
        _report(sample, findings),
        alpha=policy.alpha,
        values=tuple(_values(study, (CHALLENGER, *rivals))),
        comparisons=(*beaten, *compared),
        weak_slices=tuple(weak),
    )


def _report(sample: Sample, findings: list[Finding]) -> Report:
    rows = len(sample.labels)
    seen = noted("rows", f"judged on {rows} held-back rows, digest {sample.digest or 'not recorded'}")
    verdict = Verdict.of("validation", [*findings, seen])
    return Report(verdict=verdict, rows=rows, rows_digest=sample.digest)


def _values(study: Evaluation, models: Iterable[str]) -> Iterator[Value]:
    """Measure every metric that is compared or has a floor, each model by itself."""
    alpha = study.policy.alpha
    for name in dict.fromkeys((*study.policy.metrics, *study.policy.floor)):
        for model in models:
            (value,) = study.draws(model, name)
            bounds = {"lower": known(value.lower(alpha)), "upper": known(value.upper(alpha))}
            yield Value(metric=name, model=model, value=known(value.point), **bounds)


def _challenger_problem(sample: Sample, asked: Sequence[str]) -> list[Finding]:
    reason = model_problem(sample, CHALLENGER, asked)
    if not reason:
        return []
    return [Finding(check="predictions", subject=CHALLENGER, outcome=Outcome.FAIL, reason=reason)]


def _champion(sample: Sample, policy: ValidationPolicy, asked: Sequence[str]) -> tuple[bool, list[Finding]]:
    """Say whether there is a champion to compare with, and if not, why and what of it."""
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


def _compared(study: Evaluation, name: str, rival: str) -> Comparison:
    (contest,) = paired_comparisons(study, name, rival)
    return concluded(contest, contest.doubts, study.policy.alpha)


def _overall(study: Evaluation) -> list[Comparison]:
    """Every metric must pass, so none needs a correction for the others (intersection-union test)."""
    return [_compared(study, name, CHAMPION) for name in study.policy.metrics]


def _declared(study: Evaluation) -> list[Comparison]:
    """Compare declared segments: each claim, "not worse" or "worse", is Holm-adjusted over all of them."""
    asked = [
        contest
        for column in study.sample.segments
        for name in study.policy.metrics
        for contest in paired_comparisons(study, name, CHAMPION, column)
    ]
    told = [contest for contest in asked if not contest.too_small]
    adjusted = iter(
        zip(*(holm(claim) for claim in zip(*(one.doubts for one in told), strict=True)), strict=True)
    )
    nothing = (1.0, 1.0, 1.0)
    return [concluded(one, nothing if one.too_small else next(adjusted), study.policy.alpha) for one in asked]


def _floors(study: Evaluation) -> list[Finding]:
    return [_floor(study, name, floor) for name, floor in study.policy.floor.items()]


def _floor(study: Evaluation, name: str, floor: float) -> Finding:
    """PASS when the bound clears the floor, FAIL when not even the point does."""
    sign, alpha = study.metric(name).sign, study.policy.alpha
    (value,) = study.draws(CHALLENGER, name)
    signed, (part,) = value.scaled(sign), study.parts("")[0]
    if study.is_too_small(part, value):
        outcome = Outcome.INCONCLUSIVE
    elif signed.lower(alpha) >= sign * floor:
        outcome = Outcome.PASS
    else:
        outcome = Outcome.FAIL if signed.point < sign * floor else Outcome.INCONCLUSIVE
    surely = sign * signed.lower(alpha)
    reason = f"{name} {value.point:.4f} (surely {surely:.4f}), floor {floor:g}"
    observed = value.point if np.isfinite(value.point) else None
    return Finding(
        check="floor", subject=name, outcome=outcome, reason=reason, observed=observed, allowed=floor
    )
