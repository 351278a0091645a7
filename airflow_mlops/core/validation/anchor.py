"""Anchor: the best earlier champion, from which the loss over several promotions counts.

A challenger that is worse by less than the margin may be promoted, and so may the next one. So each is also
compared with the anchor, on the same rows, within ``total_margin`` margins. The anchor moves to a version
that is shown better than it, never to one that merely was promoted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    rival = ANCHOR if any(one.rival == ANCHOR for one in report.comparisons) else CHAMPION
    whole = [one for one in report.comparisons if one.rival == rival and not one.segment]
    is_best = all(one.answer is ComparisonAnswer.BETTER for one in whole)
    return report.versions[CHALLENGER if is_best else rival]
