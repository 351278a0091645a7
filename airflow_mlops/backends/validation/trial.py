"""Trial of one candidate: all models score the same rows once, every check uses those scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from airflow_mlops.backends.validation.classes import class_names, is_coded, positive_of
from airflow_mlops.backends.validation.functions import own_metric, run_checks
from airflow_mlops.backends.validation.models import LoadedModel, loaded
from airflow_mlops.backends.validation.poisoning import poisoning
from airflow_mlops.backends.validation.rows import absent_segments, sample_of
from airflow_mlops.core.errors import AccessDeniedError, TransientError
from airflow_mlops.core.training.job import DatasetSpec
from airflow_mlops.core.validation.author import OwnCheck, OwnMetric
from airflow_mlops.core.validation.comparison import judge_candidate
from airflow_mlops.core.validation.metrics.registry import SCORER_PREFIX
from airflow_mlops.core.validation.policy import ValidationPolicy
from airflow_mlops.core.validation.report import noted
from airflow_mlops.core.validation.sample import CHALLENGER

if TYPE_CHECKING:
    from airflow_mlops.backends.registry.protocol import ModelRegistry
    from airflow_mlops.backends.training.rows import Rows
    from airflow_mlops.core.validation.metrics.base import Array, Metric
    from airflow_mlops.core.validation.report import Report
    from airflow_mlops.core.validation.sample import Sample
    from airflow_mlops.core.verdict import Finding

_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How a candidate is judged.

    :param data: roles of the columns; ``metrics`` and ``checks``: the author's own.
    """

    data: DatasetSpec
    policy: ValidationPolicy
    metrics: Sequence[OwnMetric] = ()
    checks: Sequence[OwnCheck] = ()

    def judge(
        self,
        registry: ModelRegistry,
        model: str,
        versions: dict[str, str],
        rows: Rows,
        *,
        unusable: Mapping[str, str] | None = None,
        tries: int = 1,
        anchor_tries: int = 1,
        besides: Sequence[Finding] = (),
    ) -> Report:
        """Judge versions by role: ``{"challenger": "4", "champion": "3"}``, the latter if there is one.

        :param versions: by role; with ``anchor``, if that is another one than the champion.
        :param unusable: roles that are not available, and why.
        :param tries: candidates judged on these held-back rows, this one included.
        :param anchor_tries: candidates compared with this anchor, this one included.
        :param besides: findings about the rows that belong to the same verdict.
        :raises TransientError: the registry does not answer; a retry may help.
        """
        scores: dict[str, Array] = {}
        unusable = dict(unusable or {})
        findings: list[Finding] = [*besides]
        for role, version in versions.items():
            with ExitStack() as stack:
                try:
                    found = stack.enter_context(loaded(registry, model, version, rows.features))
                    scores[role] = self._scored(found, rows)
                except (TransientError, AccessDeniedError):
                    raise
                except Exception as error:  # noqa: BLE001 - any model may fail in any way
                    unusable[role] = _why(version, error)
                    continue
                findings += run_checks(self.checks if role == CHALLENGER else (), found.predict, rows.holdout)
        if rows.unlabelled:
            said = f"{rows.unlabelled} rows have no label and are left out, {len(rows.frame)} have one"
            findings.append(noted("labels", said))
        if rows.unkeyed:
            said = f"{rows.unkeyed} of {len(rows.frame)} rows lack a whole key: trained on, never held back"
            findings.append(noted("key", said))
        findings += [*self._positive(rows), *absent_segments(rows, self.data)]
        if self.policy.poisoning is not None:
            findings += poisoning(rows, self.data, self.policy.poisoning)
        sample = sample_of(rows, self.data, self.policy, scores, unusable)
        with threadpool_limits(1, user_api="blas"):  # for small products threads cost more than they gain
            own = self._own(sample)
            report = judge_candidate(
                sample, self.policy, own=own, besides=findings, tries=tries, anchor_tries=anchor_tries
            )
        return replace(report, versions=versions)

    def _scored(self, model: LoadedModel, rows: Rows) -> Array:
        """Return a model's scores of the held-back rows.

        :raises InvalidDataError: its classes are not the data's, so its scores mean other classes.
        """
        model.expect(class_names(rows, self.data))
        return model.predict(rows.holdout)

    def _positive(self, rows: Rows) -> list[Finding]:
        """Say which class scores are about, where the labels themselves do not."""
        named = positive_of(rows, self.data) if is_coded(rows, self.data, is_matrix=False) else ""
        return [noted("classes", f"metrics are about class {named}, the positive one")] if named else []

    def _own(self, sample: Sample) -> list[Metric]:
        from airflow_mlops.backends.validation.scorers import scorer

        named = [name for name in self.policy.all_metrics if name.startswith(SCORER_PREFIX)]
        is_class = bool((sample.labels % 1 == 0).all()) and sample.labels.min() >= 0
        return [
            *(own_metric(one) for one in self.metrics),
            *(scorer(name, is_class=is_class and self._fits(sample)) for name in named),
        ]

    def _fits(self, sample: Sample) -> bool:
        """Return whether scores are probabilities rather than counts."""
        return all(scores.min() >= 0 and scores.max() <= 1 for scores in sample.scores.values())


def _why(version: str, error: Exception) -> str:
    reason = f"version {version} cannot score the held-back rows: {type(error).__name__}: {error}"
    return " ".join(reason.split())[:_LONGEST_REASON]
