"""Retraining operators: read the request, decide, request retraining."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from airflow_mlops.assets import announce
from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS
from airflow_mlops.core.data.dataset_uri import DatasetUri
from airflow_mlops.core.data.partitions import partitions_up_to
from airflow_mlops.core.retraining.policy import RetrainPolicy, Situation, Trigger, decide_retraining
from airflow_mlops.core.training.candidate import plain_params
from airflow_mlops.core.verdict import Verdict
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.hooks.storage import filesystem_of
from airflow_mlops.links import EvidenceRunLink
from airflow_mlops.runtime.ends import rollout_under_way
from airflow_mlops.runtime.evidence import evidence_key, open_evidence
from airflow_mlops.runtime.failure import fail_fast
from airflow_mlops.runtime.paths import RETRAIN_DECISION_PATH
from airflow_mlops.runtime.profiles import PROFILED_DIGEST, broken_partitions, newest_announced

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow.sdk import Context

    from airflow_mlops.backends.registry.protocol import ModelVersion
    from airflow_mlops.runtime.evidence import RunEvidence


class ReadTrainingRequestOperator(BaseOperator):
    """Reads window, trigger, reason and parameters of a run from its form, asset event or schedule.

    Returns ``{"uri", "partition", "partitions", "trigger", "reason", "force", "params"}``; ``partitions``
    are the last ``history`` up to ``partition``, without those that failed the schema check. A schedule asks
    for the newest partition.

    :param model: registered model. Templated.
    :param uri: dataset. Templated.
    :param history: how many partitions, up to the new one, a model is trained on; 1 or more.
    :param train_params: the training function's parameters; those of the form take precedence. Templated.
    """

    template_fields: Sequence[str] = ("model", "uri", "train_params")
    ui_color = "#cfe2f3"

    def __init__(
        self,
        *,
        model: str,
        uri: str,
        history: int = 1,
        train_params: Any = None,
        mlflow_conn_id: str = "mlflow_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.uri = uri
        self.history = history
        self.train_params = train_params
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the request."""
        from airflow_mlops.backends.profiling.files.dataset import list_partitions

        form, trigger = context["params"], _trigger(context)
        with fail_fast():
            known = list_partitions(self.uri, filesystem_of(self.uri))
            asked, window = self._window(context, known, is_scheduled=trigger[0] == Trigger.SCHEDULE)
        return {
            "uri": self.uri,
            "partition": asked,
            "partitions": list(window),
            "trigger": trigger[0],
            "reason": form.get("reason") or trigger[1],
            "force": bool(form.get("force")),
            "params": plain_params({**(self.train_params or {}), **(form.get("params") or {})}),
        }

    def _window(
        self, context: Context, known: Sequence[str], *, is_scheduled: bool
    ) -> tuple[str, tuple[str, ...]]:
        """Return the partition that is asked for, and the window up to it."""
        asked, newest = context["params"].get("partition"), known[-1] if known else ""
        own = context["dag_run"].partition_key
        if is_scheduled and own not in known:  # the key is the schedule's moment
            own = newest
        asked = str(asked or own or newest)
        broken = broken_partitions(MlflowHook(self.mlflow_conn_id).evidence(), self.model)
        if asked in broken:
            self.log.warning("partition %s failed its last schema check; it is checked again now", asked)
        return asked, partitions_up_to(asked, known, self.history, leaving_out=broken) if asked else ()


class RetrainGateOperator(BaseOperator):
    """Decides whether a run trains; if not, skips the rest and logs the reason.

    Besides the policy's limits: no rollout of the model is under way, and no version was trained on a newer
    partition of the same dataset. A run that new data started leaves the training to a newer partition that
    ``NewPartitionSensor`` announced, and to a version that was trained on the same unchanged partition.

    :param model: registered model. Templated.
    :param verdicts: verdicts to consider, as JSON; ``None`` entries are ignored. Templated.
    :param request: ``{"trigger", "reason", "force"}``. Templated.
    :param rows: rows of the new window. Templated.
    :param policy: the limits.
    """

    template_fields: Sequence[str] = ("model", "verdicts", "request", "rows")
    operator_extra_links = (EvidenceRunLink(),)
    ui_color = "#fce5cd"

    def __init__(
        self,
        *,
        model: str,
        verdicts: Any,
        request: Any = None,
        rows: Any = 0,
        policy: RetrainPolicy | None = None,
        mlflow_conn_id: str = "mlflow_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.verdicts = verdicts
        self.request = request
        self.rows = rows
        self.policy = policy
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Decide, store the decision, proceed or skip."""
        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        situation = self._situation(context, evidence)
        decision = decide_retraining(self.policy or RetrainPolicy(), situation, now=time.time())
        evidence.keep(RETRAIN_DECISION_PATH, decision)
        tags = {"mlops.retrain": str(decision.retrain).lower(), "mlops.trigger": str(decision.trigger)}
        evidence.store.set_tags(evidence.run, tags)
        self.log.info("retrain: %s: %s", decision.retrain, "; ".join(decision.reasons))
        if not decision.retrain:
            evidence.store.close(evidence.run, succeeded=True)
            raise AirflowSkipException("no retraining: " + "; ".join(decision.reasons))
        return decision.to_json()

    def _situation(self, context: Context, evidence: RunEvidence) -> Situation:
        registry, request = MlflowHook(self.mlflow_conn_id).registry(), self.request or {}
        versions, partition = registry.versions(self.model), str(request.get("partition") or "")
        uri, mine = str(request.get("uri") or ""), evidence_key(self.model, context)
        newest = max(_trained(versions, uri), default=("", ""), key=lambda one: one[0])
        return Situation(
            champion=registry.alias(self.model, CHAMPION_ALIAS),
            trigger=Trigger(request.get("trigger") or Trigger.NEW_DATA),
            reason=request.get("reason") or "",
            force=bool(request.get("force")),
            verdicts=tuple(Verdict.from_json(verdict) for verdict in self.verdicts if verdict),
            new_rows=int(self.rows or 0),
            trained_at=tuple(version.created_at for version in versions),
            partition=partition,
            newest_trained=newest[0],
            newest_version=newest[1],
            repeated_by=_repeated(evidence, self.model, [one for one in versions if _key(one) == partition]),
            announced=newest_announced(evidence.store, self.model, uri, mine),
            rollout=rollout_under_way(registry, evidence.store, self.model, now=time.time()),
        )


class RequestRetrainingOperator(BaseOperator):
    """Emits a retraining request for a partition to its outlets, with trigger and reason.

    :param partition: partition key the request is about. Templated.
    :param trigger: cause of the request; see ``Trigger``. Templated.
    :param reason: why. Templated.
    """

    template_fields: Sequence[str] = ("partition", "trigger", "reason")
    ui_color = "#fce5cd"

    def __init__(self, *, partition: str, trigger: str, reason: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.partition = partition
        self.trigger = trigger
        self.reason = reason

    def execute(self, context: Context) -> dict[str, str]:
        """Emit the request."""
        request = {"trigger": str(Trigger(self.trigger)), "reason": self.reason}
        for asset in self.outlets:
            context["outlet_events"][asset].extra = request
        announce(context, self.outlets, [self.partition])
        return request | {"partition": self.partition}


def _key(version: ModelVersion) -> str:
    return version.tags.get("mlops.partition", "")


def _trained(versions: Iterable[ModelVersion], uri: str) -> list[tuple[str, str]]:
    """Return the newest partition of each version of a dataset, however it was read, and the version."""
    return [
        (_key(one), one.version) for one in versions if _place(one.tags.get("mlops.uri", "")) == _place(uri)
    ]


def _place(uri: str) -> str:
    return DatasetUri.parse(uri).location.rstrip("/")


def _repeated(evidence: RunEvidence, model: str, versions: Iterable[ModelVersion]) -> str:
    """Return the version of another run that was trained on this partition as it is now; empty if none."""
    mine = evidence.store.tags(evidence.run).get(PROFILED_DIGEST)
    alike = {run for run, _ in evidence.store.search(model, {PROFILED_DIGEST: mine})} if mine else set()
    alike.discard(evidence.run)
    return next((one.version for one in versions if one.evidence_run in alike), "")


def _trigger(context: Context) -> tuple[str, str]:
    """Return trigger and reason of the run, as far as Airflow knows them."""
    events = [
        event for found in dict(context.get("triggering_asset_events") or {}).values() for event in found
    ]
    asked = [event.extra for event in events if event.extra.get("trigger")]
    asked.sort(key=lambda extra: extra["trigger"] != Trigger.DEGRADATION)  # of several, a measured loss
    for extra in asked:
        return str(Trigger(extra["trigger"])), str(extra.get("reason") or "")
    if events or (context["dag_run"].partition_key and str(context["dag_run"].run_type) != "manual"):
        return Trigger.NEW_DATA, f"partition {context['dag_run'].partition_key} arrived"
    return Trigger.MANUAL, "started manually"
