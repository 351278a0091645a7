"""Claims of a validation policy as estimates of a large sample, to be scaled to any number of rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.planning.power import Scaled, least_rows, power_of_all, power_of_one
from airflow_mlops.core.planning.worlds import Assumed
from airflow_mlops.core.validation.bootstrap import Resampling
from airflow_mlops.core.validation.evaluation import Evaluation
from airflow_mlops.core.validation.metrics.base import Scored
from airflow_mlops.core.validation.paired import paired_comparisons
from airflow_mlops.core.validation.policy import ValidationPolicy
from airflow_mlops.core.validation.sample import BASELINE, CHALLENGER, CHAMPION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.validation.estimate import Estimate

_FEWEST, _MOST, _POSITIVES, _SEED = 20_000, 200_000, 2000, 20130101


@dataclass(frozen=True)
class Large:
    """A large sample of the assumed world under a policy, from which every claim is scaled."""

    assumed: Assumed
    policy: ValidationPolicy

    @cached_property
    def evaluation(self) -> Evaluation:
        """The sample, with a block for each row: only influences are read, not resamples."""
        rows = int(np.clip(_POSITIVES / self.assumed.rarest, _FEWEST, _MOST))
        sample = self.assumed.sample(np.random.default_rng(_SEED), rows)
        found = Evaluation(sample, replace(self.policy, resamples=100))
        found.resampling = Resampling(np.arange(rows), np.ones((1, rows)))
        return found

    def not_worse(self, name: str) -> Scaled:
        """Return "not worse than the champion by more than the margin", of two equal models."""
        return self._against(name, CHAMPION, "")

    def not_worse_in_segment(self, name: str) -> Scaled:
        """Return the same with what a segment may lose."""
        return self._against(name, CHAMPION, _SEGMENT)

    def beats_baseline(self, name: str) -> Scaled:
        """Return "better than the best constant"."""
        return self._against(name, BASELINE, "")

    def clears(self, name: str, bar: float) -> Scaled:
        """Return "the value is beyond a floor or ceiling", of a model with the assumed value."""
        (value,) = self.evaluation.draws(CHALLENGER, name)
        sign = self.evaluation.metric(name).sign
        return self._scaled(name, value.scaled(sign).shifted(-sign * bar), sign * (self.value(name) - bar))

    def promise(self, name: str, value: float) -> Scaled:
        """Return a model's value itself, as validation estimates it."""
        return self._scaled(name, self.evaluation.draws(CHALLENGER, name)[0], value)

    def value(self, name: str) -> float:
        """Return the assumed value of either model."""
        if self.assumed.value is not None and name == self.assumed.metric:
            return self.assumed.value
        return float(self.evaluation.draws(CHALLENGER, name)[0].point)

    def _against(self, name: str, rival: str, column: str) -> Scaled:
        if column:
            self.evaluation.sample.segments[column] = np.full(len(self.evaluation.sample.labels), "a")
        (pair,) = paired_comparisons(self.evaluation, name, rival, column)
        allowed = pair.slack.point - pair.gain.point
        truth = pair.gain.point if rival == BASELINE else allowed
        return self._scaled(name, pair.slack, truth)

    def _scaled(self, name: str, estimate: Estimate, truth: float) -> Scaled:
        policy = self.policy
        return Scaled(estimate, truth, self._share(name), policy.min_class_rows, policy.resamples)

    def _share(self, name: str) -> float:
        """Return which share of the rows the metric rests on, by its own denominators."""
        sample, found = self.evaluation.sample, []
        for model in (CHALLENGER, CHAMPION):
            scored = Scored.of(sample.labels, sample.scores[model])
            found += [float(one.rows.mean()) for one in self.evaluation.metric(name).supports(scored)]
        rarest = [self.assumed.rarest] if self.assumed.is_of_classes else []
        return min([*rarest, *(share for share in found if share > 0)])


_SEGMENT = "segment"


@dataclass(frozen=True)
class Need:
    """What one claim needs.

    :param rows: held-back rows; ``None``: it can never be decided.
    :param power: at the rows that are there; ``None`` if unknown.
    """

    claim: str
    rows: int | None
    share: float
    power: float | None = None


def needs(
    large: Large, shares: Sequence[float] = (), present: int | None = None, wanted: float = 0.8
) -> list[Need]:
    """Return what each claim of the policy needs.

    :param shares: of the rows, of each declared segment.
    :param present: held-back rows that are there.
    """
    policy, alpha = large.policy, large.policy.alpha
    found = []

    def add(claim: str, one: Scaled) -> None:
        rows = least_rows(lambda count: power_of_one(one, count, alpha), wanted)
        power = None if present is None else power_of_one(one, present, alpha)
        found.append(Need(claim, rows, one.share, power))

    for name in policy.metrics:
        add(f"{name}: not worse than the champion", large.not_worse(name))
        add(f"{name}: better than the baseline", large.beats_baseline(name))
    for where, bars in (("floor", policy.floor), ("ceiling", policy.ceiling)):
        for name, bar in bars.items():
            add(f"{name}: {where} {bar:g}", large.clears(name, bar))
    if shares:
        found.append(_in_segments(large, shares, present, wanted))
    return found


def _in_segments(large: Large, shares: Sequence[float], present: int | None, wanted: float) -> Need:
    """Return what "not worse in any segment, by any metric" needs, Holm-adjusted over all of them."""
    policy = large.policy
    claims = [large.not_worse_in_segment(name) for name in policy.metrics for _ in shares]
    parts = [share for _ in policy.metrics for share in shares]

    def power(rows: float) -> float:
        if rows * min(parts) < policy.min_segment_rows:
            return 0.0
        return power_of_all(claims, [rows * part for part in parts], policy.alpha)

    rows = least_rows(power, wanted)
    here = None if present is None else power(present)
    return Need(f"{len(shares)} segments: not worse in any", rows, min(c.share for c in claims), here)
