"""Anchor: the best earlier champion, from which the loss over several promotions counts.

A challenger that is worse by less than the margin may be promoted, and so may the next one. So each is also
compared with the anchor, on the same rows, within ``total_margin`` margins (Fleming 2008; Everson-Stewart and
Emerson 2010 call the drift that this ends biocreep). The anchor moves to a version that is shown better than
it, never to one that merely was promoted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.core.validation.policy import BEST_ANCHOR
from airflow_mlops.core.validation.report import ComparisonAnswer
from airflow_mlops.core.validation.sample import ANCHOR, CHALLENGER, CHAMPION
from airflow_mlops.core.validation.suitability import model_problem
from airflow_mlops.core.verdict import Finding, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.validation.policy import ValidationPolicy
    from airflow_mlops.core.validation.report import Report
    from airflow_mlops.core.validation.sample import Sample

ANCHOR_TAG = "mlops.anchor"
"""Tag of a version: the version from which its loss counts; a person may set it to accept a loss for good."""


_DAY = 86400.0


def anchor_of(
    rule: str, champion: str, recorded: str, served: Sequence[tuple[str, float]], *, now: float
) -> str:
    """Return the version from which losses count, by the rule of the policy; the champion if it is that.

    Of the champions of the last days the best known is the recorded one, if it served in them, else the
    first: each later one is only known to be not worse.

    :param rule: ``best``, ``90d``, or a version.
    :param recorded: the champion's tag :data:`ANCHOR_TAG`; empty if it has none.
    :param served: versions and when each became champion (seconds since the epoch), oldest first.
    """
    if rule == BEST_ANCHOR:
        return recorded or champion
    if not rule.endswith("d"):
        return rule
    began = now - float(rule[:-1]) * _DAY
    ends = [*(at for _, at in served[1:]), now]
    recent = [version for (version, _), end in zip(served, ends, strict=True) if end >= began]
    return recorded if recorded in recent else next(iter(recent), champion)


def since_anchor(report: Report) -> list[str]:
    """Say how far the challenger lies from the anchor in each metric, and how many tries there were."""
    rival = _rival(report)
    whole = [one for one in report.comparisons if one.rival == rival and not one.segment]
    if not whole:
        return []
    where = "" if rival == ANCHOR else ", the champion"
    told = ", ".join(
        f"{one.metric} {one.gain:+.4f} (at least {one.lower:+.4f}, allowed {0.0 - one.allowed:.4g})"
        if one.gain is not None and one.lower is not None
        else f"{one.metric} not known"
        for one in whole
    )
    level = f" at alpha {report.anchor_alpha:.2g}" if rival == ANCHOR else ""
    return [
        f"gain since the anchor, version {report.versions.get(rival, '?')}{where}: {told}; "
        f"comparison {report.anchor_tries} with it{level}",
        f"try {report.tries} on these held-back rows, at alpha {report.alpha:.2g}",
    ]


def _rival(report: Report) -> str:
    """Return the anchor's role: its own, or the champion's where that is the anchor."""
    return ANCHOR if any(one.rival == ANCHOR for one in report.comparisons) else CHAMPION


def margins_against(rival: str, policy: ValidationPolicy) -> float:
    """Return how many margins the challenger may lose against a rival; 0: it has to be better."""
    return {CHAMPION: 1.0, ANCHOR: policy.total_margin}.get(rival, 0.0)


def usable_anchor(sample: Sample, asked: Sequence[str]) -> tuple[bool, list[Finding]]:
    """Say whether there is an anchor besides the champion; of one that cannot be compared with, why."""
    if ANCHOR not in sample.scores and ANCHOR not in sample.unusable:
        return False, []
    reason = model_problem(sample, ANCHOR, asked)
    if not reason:
        return True, []
    follows = f"{reason}; the loss over several promotions counts from the champion now"
    return False, [Finding(check="predictions", subject=ANCHOR, outcome=Outcome.WARN, reason=follows)]


def next_anchor(report: Report) -> str:
    """Return the anchor of the version that was judged: itself if it is the first, or shown better."""
    rival = _rival(report)
    whole = [one for one in report.comparisons if one.rival == rival and not one.segment]
    is_best = all(one.answer is ComparisonAnswer.BETTER for one in whole)
    return report.versions[CHALLENGER if is_best else rival]
