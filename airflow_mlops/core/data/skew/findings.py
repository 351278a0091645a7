"""What skew says in words: sentences of tests, findings, and the verdict of a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.core.data.skew.measure import NEW_CATEGORIES
from airflow_mlops.core.did_you_mean import did_you_mean
from airflow_mlops.core.verdict import Finding, Outcome, Severity, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.data.profile.column import Column
    from airflow_mlops.core.data.profile.profile import Profile
    from airflow_mlops.core.data.skew.policy import SkewPolicy
    from airflow_mlops.core.data.skew.report import EffectSize, MultivariateResult, SkewTest

_NEW_CATEGORIES_NAMED = 3
"""Unknown categories that a sentence names."""


def effect_sentence(effect: EffectSize, threshold: float, before: Column, now: Column) -> str:
    """Say what a test found."""
    what = effect.name.replace("_", " ")
    moved = f"{what} moved by {effect.value:.3f} (surely {effect.lower:.3f}), allowed {threshold:.3g}"
    if effect.name != NEW_CATEGORIES or effect.lower <= 0:
        return f"{before.name}: {moved}"
    fresh = [repr(name) for name in now.heavy_hitters if name not in before.heavy_hitters][
        :_NEW_CATEGORIES_NAMED
    ]
    if now.edges and now.minimum is not None and now.maximum is not None:
        fresh = [f"values of {now.minimum:g} to {now.maximum:g}"]
    return f"{before.name}: {moved}" + (f"; new: {', '.join(fresh)}" if fresh else "")


def skew_verdict(
    tests: Sequence[SkewTest],
    skipped: Sequence[str],
    policy: SkewPolicy,
    reference: Profile,
    current: Profile,
) -> Verdict:
    """Return the verdict of all tests, of what was not compared, and of names the policy got wrong."""
    findings = [_tested(test) for test in tests] or [_nothing_compared()]
    findings += [_skipped(name, reference, current) for name in skipped]
    findings += _misnamed(policy, {**reference.by_name, **current.by_name})
    return Verdict.of("skew", findings)


def _nothing_compared() -> Finding:
    return Finding(
        check="comparable",
        subject="all columns",
        outcome=Outcome.INCONCLUSIVE,
        reason="no column could be compared: the windows share none with values in the same cells",
    )


def multivariate_finding(result: MultivariateResult) -> Finding:
    """Return what all columns together say."""
    return Finding(
        check="multivariate",
        subject="all columns",
        outcome=Outcome.FAIL if result.skewed else Outcome.PASS,
        severity=Severity.WARNING,
        reason=result.sentence,
        observed=result.auc,
        allowed=result.threshold,
    )


def _tested(test: SkewTest) -> Finding:
    return Finding(
        check=test.effect.name,
        subject=test.column,
        outcome=Outcome.FAIL if test.skewed else Outcome.PASS,
        severity=Severity.WARNING,
        reason=test.sentence,
        observed=test.effect.value,
        allowed=test.threshold,
    )


def _skipped(name: str, reference: Profile, current: Profile) -> Finding:
    if current.column(name) is None:
        reason = f"{name}: not in the current window: not compared"
    else:
        reason = f"{name}: not in the reference, or of another kind or other cells there: not compared"
    assert reference.column(name) or current.column(name)  # noqa: S101 - the name came from one of them
    return _warning("comparable", name, Outcome.WARN, reason)


def _misnamed(policy: SkewPolicy, known: dict[str, Column]) -> list[Finding]:
    """Name columns of the policy that no window has, and distances that a column cannot have.

    A limit that is applied to nothing is no pass: ``INCONCLUSIVE``; a column to ignore that is not there
    does no harm.
    """
    wanted = {**dict.fromkeys(policy.ignore, Outcome.WARN)}
    wanted |= dict.fromkeys((*policy.columns, *policy.labels, *policy.predictions), Outcome.INCONCLUSIVE)
    findings = [
        _warning(
            "policy", name, outcome, f"{name}: named by the policy, in no window{did_you_mean(name, known)}"
        )
        for name, outcome in wanted.items()
        if name not in known
    ]
    for name, limits in policy.columns.items():
        column = known.get(name)
        if limits.distance and limits.distance.needs_order and column is not None and column.categories:
            reason = f"{name}: distance {limits.distance} needs numbers; judged by {policy.category} instead"
            findings.append(_warning("policy", name, Outcome.INCONCLUSIVE, reason))
    return findings


def _warning(check: str, subject: str, outcome: Outcome, reason: str) -> Finding:
    return Finding(check=check, subject=subject, outcome=outcome, severity=Severity.WARNING, reason=reason)
