"""Rollout operators: deploy at 0 %, set traffic, promote, roll back, clean up."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_mlops.core.errors import NotClearedError, ServiceUnavailableError
from airflow_mlops.core.release.clearance import ReleaseRule
from airflow_mlops.core.rollout.end import EndKind
from airflow_mlops.core.rollout.machine import begin, begin_step, recheck
from airflow_mlops.core.rollout.notice import Event
from airflow_mlops.core.rollout.rise import is_stale, require_same_champion, restarted
from airflow_mlops.core.rollout.state import Phase, RolloutState
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.hooks.serving import ServingHook
from airflow_mlops.links import EvidenceRunLink, FullReportLink, UpdateReportLink
from airflow_mlops.observe import first_reading, reading_since
from airflow_mlops.runtime.analysis import hand_over, keep_state
from airflow_mlops.runtime.clearance import override_by, require_clearance, stale_version
from airflow_mlops.runtime.deployment import (
    clean_up,
    deploy,
    holder_of,
    is_promoted,
    promote_version,
    promotion_claim,
    require_begun,
    require_champion_of_ledger,
    restore_champion,
    return_traffic,
    settled_champion,
)
from airflow_mlops.runtime.ends import (
    claim_unless_stopped,
    end_of,
    flush_ends_quietly,
    promoted_end,
    record_end_once,
    refused_end,
    unpromoted_end,
)
from airflow_mlops.runtime.evidence import open_evidence
from airflow_mlops.runtime.failure import fail_fast, fail_fast_unless_denied, skip_what_is_not_mine
from airflow_mlops.runtime.notices import NotifyingOperator
from airflow_mlops.runtime.paths import (
    PROMOTION_PATH,
    ROLLBACK_PATH,
    ROLLOUT,
    ROLLOUT_PAGE_PATH,
    STAGE,
    VERSION,
)
from airflow_mlops.runtime.rollout_report import keep_beginning, keep_rollout, number_of
from airflow_mlops.triggers.canary import CanaryAnalysisTrigger

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow.sdk import BaseOperatorLink, Context

    from airflow_mlops.backends.metrics.protocol import MetricsSource
    from airflow_mlops.backends.registry.protocol import ModelRegistry
    from airflow_mlops.backends.serving.protocol import Traffic
    from airflow_mlops.core.release.clearance import Clearance
    from airflow_mlops.core.rollout.end import RolloutEnd
    from airflow_mlops.core.rollout.history import RolloutHistory
    from airflow_mlops.core.rollout.plan import RolloutPlan

_VALIDATED = ReleaseRule()


class RolloutOperator(NotifyingOperator):
    """Base of the rollout tasks: the model (also the endpoint's name), the version, the connections."""

    template_fields: Sequence[str] = ("model", "version")
    operator_extra_links: Collection[BaseOperatorLink] = (EvidenceRunLink(),)
    ui_color = "#d9ead3"

    def __init__(self, *, version: str, serving_conn_id: str = "mlops_serving", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.version = version
        self.serving_conn_id = serving_conn_id


class ClearedOperator(RolloutOperator):
    """Base of the tasks that give a version traffic: they refuse one that was not validated or approved.

    And one that was compared with another champion than now. A refusal is in the ledger and is not retried.

    :param release: what is demanded besides an accepted validation, and who may override a refusal.
    :param override_reason: why the version is rolled out in spite of a refusal; empty: it is not. Templated.
    :param override_by: user who overrides; empty: the user who started the DAG run. Templated.
    """

    template_fields: Sequence[str] = ("model", "version", "override_reason", "override_by")

    def __init__(
        self,
        *,
        release: ReleaseRule = _VALIDATED,
        override_reason: str | None = None,
        override_by: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.release = release
        self.override_reason = override_reason
        self.override_by = override_by

    def _clear(
        self, registry: ModelRegistry, version: str, champion: str | None, context: Context, percent: int = 0
    ) -> Clearance:
        """Return the clearance; a refusal is the end of the rollout, in the ledger, too."""
        why, by = (self.override_reason or "").strip(), override_by(self.override_by, context)
        known, store = registry.version(self.model, version), MlflowHook(self.mlflow_conn_id).evidence()
        override = {"by": by, "reason": why, "stale": stale_version(store, known, champion)}
        try:
            found = require_clearance(registry, self.model, version, self.release, **override)
        except NotClearedError as error:
            about: dict[str, Any] = {"percent": percent, "reason": str(error), "holder": holder_of(context)}
            record_end_once(registry, refused_end(self.model, version, champion, **about))
            raise
        if found.override:
            self.log.warning("%s", found.override)
        return found


class DeployCanaryOperator(ClearedOperator):
    """Claims the endpoint and deploys the version at 0 %; restores a missing champion first.

    Skips if the version already is champion; refuses one that was not validated or approved. Returns the
    initial rollout state as JSON.

    :param model: registered model; also the serving endpoint. Templated.
    :param version: version to roll out. Templated.
    :param plan: the rollout's plan.
    """

    def __init__(self, *, plan: RolloutPlan, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan = plan

    def execute(self, context: Context) -> dict[str, Any]:
        """Deploy and return the initial state."""
        registry, holder = MlflowHook(self.mlflow_conn_id).registry(), holder_of(context)
        hook = ServingHook(self.serving_conn_id)
        backend = hook.backend()
        with fail_fast():
            metrics = hook.metrics(self.model, backend, self.plan.metrics, self.plan.optional_metrics)
            version = registry.version(self.model, self.version)
            champion = settled_champion(backend, registry, self.model, context)
            require_champion_of_ledger(registry, self.model, champion)
            if champion == version.version:
                msg = f"{self.model} version {champion} already is champion"
                raise AirflowSkipException(msg)
            if metrics is not None and champion is not None:
                self._check(metrics)
            evidence = open_evidence(self.mlflow_conn_id, self.model, context)
            evidence.store.set_tags(evidence.run, {VERSION: version.version, STAGE: ROLLOUT})
            self._clear(registry, version.version, champion, context)
            claim_unless_stopped(backend, registry, self.model, holder)
            flush_ends_quietly(backend, registry, self.model)
            before, champion = champion, settled_champion(backend, registry, self.model, context)
            if champion != before:  # the rollout that held the endpoint had not completed its promotion
                self._clear(registry, version.version, champion, context)
            restore_champion(backend, registry, self.model, champion, holder)
            deploy(backend, registry, self.model, version.version, holder)
        measures = metrics.measures if metrics is not None else ()
        state = begin(self.plan, version.version, champion, measures)
        keep_beginning(evidence, self.plan, state)
        reason = f"steps of {', '.join(map(str, self.plan.percents))} %"
        about: dict[str, Any] = {"version": version.version, "champion": champion, "reason": reason}
        self.notify(Event.STARTED, context, step=0, weight=0, **about)
        return state.to_json()

    def _check(self, metrics: MetricsSource) -> None:
        """Fail if the metrics source cannot provide a metric; one that does not answer now is only logged."""
        try:
            metrics.check(now=time.time())
        except ServiceUnavailableError as error:
            self.log.warning("the metrics source could not be checked: %s", error)


class RisingOperator(ClearedOperator):
    """What raises a canary's traffic: under a living lease, on fresh evidence, against the same champion.

    A decision that is older than two windows (and than a scheduler's hand-over) raises nothing: the step
    starts again at its present weight, watched on the triggerer. What was answered since the decision is
    taken into account in any case, and may roll back.

    :param plan: the rollout's plan; ``None``: decisions are not checked for their age.
    :param state: state returned by the step before. Templated.
    """

    template_fields: Sequence[str] = (*ClearedOperator.template_fields, "state")

    def __init__(self, *, state: Any, plan: RolloutPlan | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.state = state
        self.plan = plan

    def execute(self, context: Context) -> dict[str, Any]:
        """Raise the traffic, or watch the step again first."""
        return self._rise(context, self._fresh(RolloutState.from_json(self.state), context))

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Raise the traffic after the step was watched again; fail if it is to be rolled back."""
        state = RolloutState.from_json(event)
        keep_state(self.mlflow_conn_id, self.model, context, state, asked=state.said is not None)
        if state.is_open:
            self._watch(state)
        return self._rise(context, self._fresh(RolloutState.from_json(hand_over(state)), context))

    def _rise(self, context: Context, state: RolloutState) -> dict[str, Any]:
        raise NotImplementedError

    def _fresh(self, state: RolloutState, context: Context) -> RolloutState:
        """Return the state with what came since it was decided; defer if the decision is too old."""
        plan = self.plan
        if plan is None or state.percent == 0 or state.phase is not Phase.PASSED:
            return state
        hook, now = ServingHook(self.serving_conn_id), time.time()
        with fail_fast_unless_denied():
            backend = hook.backend()
            metrics = hook.metrics(self.model, backend, state.watched)
            seen = backend.traffic(self.model)
            if seen.stable == state.version:  # an earlier try promoted it, and was cut off
                return state
            if is_stale(plan, state, now=now):
                mine, seconds = holder_of(context), plan.lease_seconds
                lease = backend.take_lease(self.model, mine, now=now, seconds=seconds, living=True)
                if seen.canary_percent > state.percent:  # an earlier try raised it, and was cut off
                    backend.set_traffic(self.model, state.version, state.percent, holder=mine, lease=lease)
                again = replace(restarted(state, now=now), lease=lease)
                self.log.warning("%s", again.reasons[0])
                self._watch(again)
            reading = reading_since(backend, self.model, state, metrics, now=now)
            rechecked = recheck(plan, state, reading, now=now)
            hand_over(rechecked)
        return rechecked

    def _watch(self, state: RolloutState) -> None:
        where: dict[str, Any] = {"serving_conn_id": self.serving_conn_id, "endpoint": self.model}
        plan = self.plan.to_json() if self.plan else {}
        trigger = CanaryAnalysisTrigger(plan=plan, state=state.to_json(), **where)
        self.defer(trigger=trigger, method_name="execute_complete")


class SetTrafficOperator(RisingOperator):
    """Sets the canary's weight and starts the step's clock; idempotent.

    Takes the canary's lease first, so that of two copies of a rollout only the later one can move traffic,
    and the reaper can stop an unattended canary.

    :param percent: the canary's share of requests, 1 to 100.
    :param lease_seconds: how long an unattended canary keeps its traffic.
    """

    def __init__(self, *, percent: int, lease_seconds: float = 300.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.percent = percent
        self.lease_seconds = lease_seconds

    def _rise(self, context: Context, state: RolloutState) -> dict[str, Any]:
        """Set the weight, read back the observed one, and return the state of the step's analysis."""
        hook, registry = ServingHook(self.serving_conn_id), MlflowHook(self.mlflow_conn_id).registry()
        with fail_fast_unless_denied():
            champion = registry.settle(self.model)
            require_same_champion(self.model, champion, state)
            self._clear(registry, state.version, champion, context, state.percent)
            backend = hook.backend()
            metrics = hook.metrics(self.model, backend, state.watched)
            holder, now, endpoint = holder_of(context), time.time(), self.model
            lease = backend.take_lease(endpoint, holder, now=now, seconds=self.lease_seconds, living=True)
            seen = backend.set_traffic(endpoint, state.version, self.percent, holder=holder, lease=lease)
        self.log.info("%s: version %s gets %d %% of requests", endpoint, seen.canary, seen.canary_percent)
        reading = first_reading(backend, self.model, state, metrics, now=time.time())
        if reading is None:
            msg = f"{self.model}: version {state.version} has no counters; it is no longer deployed"
            raise AirflowFailException(msg)
        return replace(begin_step(state, self.percent, reading, now=time.time()), lease=lease).to_json()


class PromoteModelOperator(RisingOperator):
    """Makes the version champion: all requests first, then the ledger, which is authoritative, then roles.

    Emits the version as a partition of its outlets. Idempotent: what the ledger has is completed, not judged.
    """

    def _fresh(self, state: RolloutState, context: Context) -> RolloutState:
        ledger = MlflowHook(self.mlflow_conn_id).registry(), self.model, state.version
        return state if is_promoted(*ledger, holder_of(context)) else super()._fresh(state, context)

    def _rise(self, context: Context, state: RolloutState) -> dict[str, Any]:
        """Promote and return the ledger entry."""
        registry = MlflowHook(self.mlflow_conn_id).registry()
        backend = ServingHook(self.serving_conn_id).backend()
        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        with fail_fast_unless_denied():
            champion, override = registry.settle(self.model), ""
            require_same_champion(self.model, champion, state)
            if not is_promoted(registry, self.model, state.version, holder_of(context)):
                override = self._clear(registry, state.version, champion, context, state.percent).override
            claim = promotion_claim(self.model, state, registry, evidence.run, override)
            entry: dict[str, Any] = promote_version(backend, registry, claim, context).to_json()
        seen: dict[str, Any] = {
            "percent": state.given_percent,
            "reason": claim.reason,
            "holder": holder_of(context),
        }
        record_end_once(registry, promoted_end(self.model, state.version, **seen))
        evidence.keep(PROMOTION_PATH, entry)
        evidence.store.set_tags(evidence.run, {"mlops.rollout": "promoted"})
        for asset in self.outlets:
            context["outlet_events"][asset].add_partitions([state.version])
        about: dict[str, Any] = {"step": number_of(evidence, state.percent), "weight": state.percent}
        about |= {"version": state.version, "champion": state.champion, "reason": claim.reason}
        self.notify(Event.PROMOTED, context, **about)
        return entry


class CleanUpRolloutOperator(RolloutOperator):
    """Stops versions without traffic, releases the endpoint, stores the report, closes the evidence run.

    :param keep_old_seconds: how long the old version stays deployed, without traffic, before it is stopped.
    """

    operator_extra_links = (EvidenceRunLink(), FullReportLink(), UpdateReportLink())

    def __init__(self, *, keep_old_seconds: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keep_old_seconds = keep_old_seconds

    def execute(self, context: Context) -> dict[str, Any]:
        """Clean up after ``keep_old_seconds``."""
        if self.keep_old_seconds > 0:
            wait = timedelta(seconds=self.keep_old_seconds)
            self.defer(trigger=TimeDeltaTrigger(wait), method_name="execute_complete")
        return self.execute_complete(context)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Clean up and return the remaining traffic."""
        with fail_fast_unless_denied(), skip_what_is_not_mine(self.version):
            traffic = clean_up(ServingHook(self.serving_conn_id).backend(), self.model, holder_of(context))
        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        keep_rollout(evidence, self.model, context, promoted=True)
        evidence.store.close(evidence.run, succeeded=True)
        return traffic.to_json()


class RollbackOperator(RolloutOperator):
    """Sets the canary to 0 % and releases the endpoint; use with ``trigger_rule="one_failed"``.

    Skipped, nothing changed, if another rollout holds the endpoint or no version was named. A version whose
    promotion was completed in the registry stays champion: only a later task failed. Stores the report.
    """

    operator_extra_links = (EvidenceRunLink(), FullReportLink(), UpdateReportLink())

    def execute(self, context: Context) -> dict[str, Any]:
        """Roll back and return the remaining traffic."""
        registry = MlflowHook(self.mlflow_conn_id).registry()
        backend, holder = ServingHook(self.serving_conn_id).backend(), holder_of(context)
        with fail_fast_unless_denied(), skip_what_is_not_mine(self.version):
            require_begun(backend, registry, self.model, self.version, holder)
            champion = settled_champion(backend, registry, self.model, context)
            traffic = return_traffic(backend, self.model, self.version, champion, holder)
        stays = champion == self.version
        flush_ends_quietly(backend, registry, self.model)
        ended = end_of(registry, self.model, holder)
        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        evidence.keep(ROLLBACK_PATH, traffic)
        outcome = EndKind.PROMOTED if stays else ended.kind if ended else EndKind.ROLLED_BACK
        evidence.store.set_tags(evidence.run, {"mlops.rollout": str(outcome)})
        history = keep_rollout(evidence, self.model, context, promoted=stays, ended=ended)
        end = ended or promoted_end(self.model, self.version, percent=100, reason="", holder=holder)
        if not stays:
            end = ended or unpromoted_end(self.model, self.version, traffic.stable, history, holder=holder)
            self._say(history, end, traffic, context)
        record_end_once(registry, end)
        evidence.store.close(evidence.run, succeeded=False)
        return traffic.to_json()

    def _say(
        self, history: RolloutHistory | None, end: RolloutEnd, traffic: Traffic, context: Context
    ) -> None:
        serves = f"version {traffic.stable}" if traffic.stable else "nothing"
        about: dict[str, Any] = {"step": 0, "weight": 0, "champion": traffic.stable}
        if history and history.steps:
            about = {"step": len(history.steps), "weight": history.steps[-1].percent}
            about["champion"] = history.champion
        about |= {"version": self.version, "reason": f"{(history or end).reason}; {serves} serves"}
        self.log.warning("rolled back %s version %s: %s", self.model, self.version, about["reason"])
        self.notify(Event.ROLLED_BACK, context, report=ROLLOUT_PAGE_PATH if history else "", **about)
