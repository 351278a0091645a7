"""Validation operators: compare a candidate with the champion, nominate it as challenger."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from airflow_mlops.assets import announce
from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS
from airflow_mlops.core.release.clearance import ReleaseGate
from airflow_mlops.core.training.candidate import Candidate
from airflow_mlops.core.validation.policy import BEST_ANCHOR
from airflow_mlops.core.verdict import Outcome, Verdict
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.hooks.storage import filesystem_of
from airflow_mlops.links import EvidenceRunLink, UpdateReportLink
from airflow_mlops.operators.candidate import CandidateOperator
from airflow_mlops.runtime.clearance import compared_tag, stale_version
from airflow_mlops.runtime.ends import NOMINATED_AT
from airflow_mlops.runtime.evidence import open_evidence
from airflow_mlops.runtime.failure import fail_fast
from airflow_mlops.runtime.paths import NOMINATED, VALIDATION_PATH
from airflow_mlops.runtime.update_report import keep_update

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_mlops.backends.evidence.protocol import EvidenceStore
    from airflow_mlops.backends.registry.protocol import ModelRegistry
    from airflow_mlops.core.data.window import Window
    from airflow_mlops.core.training.job import DatasetSpec
    from airflow_mlops.core.validation.author import OwnCheck, OwnMetric
    from airflow_mlops.core.validation.policy import ValidationPolicy
    from airflow_mlops.core.validation.report import Report
    from airflow_mlops.core.verdict import Finding
    from airflow_mlops.runtime.evidence import RunEvidence


_HELD_BACK, _ANCHOR = "mlops.held_back_digest", "mlops.compared_with_anchor"


class ValidateModelOperator(BaseOperator):
    """Compares a candidate with champion, anchor, trivial baseline and floor on the same held-back rows.

    The anchor is the best earlier champion, by the champion's tag ``mlops.anchor``, unless ``policy.anchor``
    says otherwise. Candidates of other runs that were judged on the same held-back rows, or against the same
    anchor, are counted: the significance level shrinks with them.
    The task does not fail on a refusal: it stores and returns the verdict, and the next task acts on it. A
    window that was written again since the candidate was trained is inconclusive.

    :param model: registered model. Templated.
    :param candidate: what ``TrainModelOperator`` returned. Templated.
    :param data: roles of the columns, as in training.
    :param policy: margins, floors and limits.
    :param metrics: the author's metrics, by the names that the policy uses.
    :param checks: the author's behaviour tests.
    """

    template_fields: Sequence[str] = ("model", "candidate")
    operator_extra_links = (EvidenceRunLink(), UpdateReportLink())
    ui_color = "#ead1dc"

    def __init__(
        self,
        *,
        model: str,
        candidate: Any,
        data: DatasetSpec,
        policy: ValidationPolicy,
        metrics: Sequence[OwnMetric] = (),
        checks: Sequence[OwnCheck] = (),
        mlflow_conn_id: str = "mlflow_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.candidate = candidate
        self.data = data
        self.policy = policy
        self.metrics = metrics
        self.checks = checks
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Compare, store the report, return the verdict."""
        from airflow_mlops.core.validation.anchor import ANCHOR_TAG, next_anchor

        candidate = Candidate.from_json(self.candidate)
        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        with fail_fast():
            report = self._judge(candidate, MlflowHook(self.mlflow_conn_id).registry(), evidence)
        evidence.keep(VALIDATION_PATH, report)
        tags = {"mlops.validation": str(report.verdict.outcome), "mlops.holdout_digest": report.rows_digest}
        evidence.store.set_tags(evidence.run, tags)
        recorded = {ReleaseGate.VALIDATION.tag: str(report.verdict.outcome)}
        if report.versions:
            recorded |= compared_tag(report.versions.get(CHAMPION_ALIAS)) | {ANCHOR_TAG: next_anchor(report)}
        MlflowHook(self.mlflow_conn_id).registry().set_tags(self.model, candidate.version, recorded)
        keep_update(evidence, candidate, context)
        for finding in report.verdict.findings:
            self.log.info("%s: %s", finding.outcome, finding.reason)
        return report.verdict.to_json()

    def _judge(self, candidate: Candidate, registry: ModelRegistry, evidence: RunEvidence) -> Report:
        from airflow_mlops.backends.training.rows import read_rows
        from airflow_mlops.backends.validation.rows import held_back_digest
        from airflow_mlops.backends.validation.trial import Trial

        trial = Trial(data=self.data, policy=self.policy, metrics=self.metrics, checks=self.checks)
        rows = read_rows(candidate.window, self.data, filesystem_of(candidate.window.uri))
        champion = registry.alias(self.model, CHAMPION_ALIAS)
        rivals = _rivals(registry, self.model, champion, self.policy.anchor, now=time.time())
        versions = {"challenger": candidate.version, **rivals}
        lost = {} if champion is not None else _lost(registry, self.model)
        anchor = rivals.get("anchor", champion)
        return trial.judge(
            registry,
            self.model,
            versions,
            rows,
            unusable=lost,
            tries=_tries(evidence, self.model, _HELD_BACK, held_back_digest(rows, self.data)),
            anchor_tries=_tries(evidence, self.model, _ANCHOR, anchor) if anchor else 1,
            besides=_rewritten(candidate.window, rows.window),
        )


def _rewritten(recorded: Window, now: Window) -> list[Finding]:
    """Return why nothing can be concluded if the window is not the one that was trained on.

    The comparison itself would be fair, but what would go into service was not trained on what its record,
    its profile and a replay name: train again.
    """
    from airflow_mlops.core.training.replay import same_data

    found = same_data(recorded, now)
    if not recorded.digest or found.outcome is Outcome.PASS:
        return []
    return [replace(found, reason=f"{found.reason}; train again, in a new run")]


def _rivals(
    registry: ModelRegistry, model: str, champion: str | None, rule: str = BEST_ANCHOR, *, now: float = 0.0
) -> dict[str, str]:
    """Return champion and anchor by role; the anchor only if it is another version."""
    from airflow_mlops.core.validation.anchor import ANCHOR_TAG, anchor_of

    if champion is None:
        return {}
    recorded = registry.version(model, champion).tags.get(ANCHOR_TAG, "")
    served = [(entry.to_version, entry.at) for entry in registry.ledger(model)]
    anchor = anchor_of(rule, champion, recorded, served, now=now)
    return {"champion": champion, **({} if anchor == champion else {"anchor": anchor})}


def _tries(evidence: RunEvidence, model: str, tag: str, value: str) -> int:
    """Count the candidates of other, earlier runs judged on the same rows, or against the same anchor.

    This one is counted too, and recorded first.
    """
    store, tags = evidence.store, {tag: value}
    store.set_tags(evidence.run, tags)
    runs = [run for run, _ in store.search(model, tags)]  # newest first
    return len(runs) - runs.index(evidence.run) if evidence.run in runs else len(runs) + 1


def _lost(registry: ModelRegistry, model: str) -> dict[str, str]:
    """Return why a model that had a champion has none; empty at a true cold start."""
    last = registry.ledger(model)[-1:]
    if not last:
        return {}
    was = last[0].to_version
    if any(v.version == was and not last[0].names(v) for v in registry.versions(model)):
        what = " is another model now: it was deleted and made again; restore a version by force"
    else:
        what = f", but no version has the alias {CHAMPION_ALIAS!r}; roll back to it"
    return {CHAMPION_ALIAS: f"version {was} by the ledger{what}"}


class NominateChallengerOperator(CandidateOperator):
    """Makes an accepted candidate a challenger: tags the version and emits it to its outlets.

    Skips, with the reasons, unless the verdict is accepted and the champion is still the one that the
    candidate was compared with; skips without a candidate. The version is the outlets' partition key.

    :param model: registered model. Templated.
    :param candidate: what ``TrainModelOperator`` returned. Templated.
    :param verdict: what ``ValidateModelOperator`` returned. Templated.
    """

    operator_extra_links = (EvidenceRunLink(), UpdateReportLink())

    def __init__(self, *, verdict: Any, **kwargs: Any) -> None:
        super().__init__(verdict=verdict, **kwargs)

    def execute(self, context: Context) -> dict[str, Any]:
        """Nominate or skip."""
        if self.candidate is None or self.verdict is None:
            msg = "no candidate: nothing was trained and validated in this run"
            raise AirflowSkipException(msg)
        candidate, verdict = Candidate.from_json(self.candidate), Verdict.from_json(self.verdict)
        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        evidence.store.close(evidence.run, succeeded=True)
        registry = MlflowHook(self.mlflow_conn_id).registry()
        registry.set_tags(self.model, candidate.version, {ReleaseGate.VALIDATION.tag: str(verdict.outcome)})
        against = self._against(candidate, verdict, registry, evidence.store)
        if not against:
            evidence.store.set_tags(evidence.run, {NOMINATED: candidate.version})
            registry.set_tags(self.model, candidate.version, {NOMINATED_AT: f"{time.time():.0f}"})
        keep_update(evidence, candidate, context)
        if against:
            msg = f"version {candidate.version} is no challenger: {against}"
            raise AirflowSkipException(msg)
        announce(context, self.outlets, [candidate.version])
        return candidate.to_json()

    def _against(
        self, candidate: Candidate, verdict: Verdict, registry: ModelRegistry, store: EvidenceStore
    ) -> str:
        """Return why the candidate is no challenger; empty if it is one."""
        if not verdict.outcome.is_accepted:
            return verdict.sentence()
        with fail_fast():
            champion = registry.settle(self.model)
            return stale_version(store, registry.version(self.model, candidate.version), champion)
