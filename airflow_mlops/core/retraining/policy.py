"""Retraining policy: whether to train again, as a pure decision with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.record import Record
from airflow_mlops.core.verdict import Outcome, Verdict
from airflow_mlops.moved import names_of

__getattr__ = names_of(__name__)

_WEEK_SECONDS = 7 * 86400.0


class Trigger(StrEnum):
    """What can trigger retraining."""

    COLD_START = "cold_start"
    NEW_DATA = "new_data"
    SCHEDULE = "schedule"
    SKEW = "skew"
    DRIFT = "drift"
    DEGRADATION = "degradation"
    MANUAL = "manual"


DEFAULT_TRIGGERS = tuple(trigger for trigger in Trigger if trigger is not Trigger.NEW_DATA)
_FROM_MONITORING = (Trigger.DEGRADATION, Trigger.DRIFT)
_TRIGGER_OF_GATE = {
    "skew": Trigger.SKEW,
    "drift": Trigger.DRIFT,
    "prediction_drift": Trigger.DRIFT,
    "performance": Trigger.DEGRADATION,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainPolicy(Record):
    """When retraining is allowed and what may trigger it.

    :param cooldown_seconds: minimum time between two trainings.
    :param min_new_rows: rows the new window must have.
    :param max_per_week: trainings within any seven days.
    :param triggers: what may trigger it; with ``new_data`` every window that arrives does.
    """

    cooldown_seconds: float = 86400.0
    min_new_rows: int = 1000
    max_per_week: int = 7
    triggers: tuple[Trigger, ...] = DEFAULT_TRIGGERS

    def __post_init__(self) -> None:
        """Refuse negative limits."""
        for name in ("cooldown_seconds", "min_new_rows", "max_per_week"):
            if getattr(self, name) < 0:
                msg = f"retrain.{name}: {getattr(self, name)}, allowed: 0 or more"
                raise InvalidConfigError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation(Record):
    """Input of the decision.

    :param trigger: what started the run.
    :param force: a person requests it, regardless of the limits.
    :param trained_at: times of earlier trainings, seconds since the epoch.
    :param partition: the newest partition of the window; empty for a dataset without partitions.
    :param newest_trained: the newest partition that a version was trained on; ``newest_version``: which.
    :param repeated_by: the version that was trained on this partition, whose data have not changed since.
    :param announced: the newest partition that was announced and did not break its schema.
    :param rollout: the rollout that is under way, in words; empty if there is none.
    """

    champion: str | None
    trigger: Trigger
    reason: str = ""
    force: bool = False
    verdicts: tuple[Verdict, ...] = ()
    new_rows: int = 0
    trained_at: tuple[float, ...] = field(default=())
    partition: str = ""
    newest_trained: str = ""
    newest_version: str = ""
    repeated_by: str = ""
    announced: str = ""
    rollout: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainDecision(Record):
    """Whether to retrain, what triggered it, and the reasons for or against."""

    retrain: bool
    trigger: Trigger
    reasons: tuple[str, ...]


def decide_retraining(policy: RetrainPolicy, situation: Situation, *, now: float) -> RetrainDecision:
    """Decide: a person's force overrides every limit, a limit overrides every other trigger."""
    trigger, reasons = _triggered(policy, situation)
    if situation.force:
        why = f"forced by hand: {situation.reason or 'no reason given'}"
        return RetrainDecision(retrain=True, trigger=Trigger.MANUAL, reasons=(why,))
    limits = _limits(policy, situation, now)
    if not reasons or limits:
        against = tuple(limits) or (_nothing(situation),)
        return RetrainDecision(retrain=False, trigger=trigger, reasons=against)
    return RetrainDecision(retrain=True, trigger=trigger, reasons=reasons)


def _triggered(policy: RetrainPolicy, situation: Situation) -> tuple[Trigger, tuple[str, ...]]:
    """Return the trigger and its reasons; no reasons if none is allowed.

    What monitoring requested stays what it is, whatever the window shows besides; a degradation, which is a
    measured loss, comes before drift and skew.
    """
    if situation.champion is None and Trigger.COLD_START in policy.triggers:
        return Trigger.COLD_START, ("cold start: no champion yet",)
    found = [
        (asked, verdict.gate + ": " + "; ".join(verdict.reasons[:5]))
        for verdict in situation.verdicts
        if verdict.outcome is Outcome.FAIL
        and (asked := _TRIGGER_OF_GATE.get(verdict.gate)) is not None
        and asked in policy.triggers
    ]
    if situation.trigger in policy.triggers:
        said = (situation.trigger, f"{situation.trigger}: {situation.reason or 'requested'}")
        found = [said, *found] if situation.trigger in _FROM_MONITORING else [*found, said]
    if not found:
        return situation.trigger, ()
    first = next((one for one in found if one[0] is Trigger.DEGRADATION), found[0])
    return first[0], (first[1],)


def _limits(policy: RetrainPolicy, situation: Situation, now: float) -> list[str]:
    found = []
    since = now - max(situation.trained_at, default=float("-inf"))
    if since < policy.cooldown_seconds:
        found.append(f"trained {since:.0f} s ago, cool-down {policy.cooldown_seconds:.0f} s")
    recent = sum(1 for at in situation.trained_at if now - at < _WEEK_SECONDS)
    if recent >= policy.max_per_week:
        found.append(f"{recent} trainings in seven days, allowed {policy.max_per_week}")
    if situation.new_rows < policy.min_new_rows:
        found.append(f"{situation.new_rows} new rows, needs {policy.min_new_rows}")
    if situation.rollout:
        found.append(f"a rollout is under way: {situation.rollout}")
    return [*found, *_superseded(situation)]


def _superseded(situation: Situation) -> list[str]:
    """Return why another window takes the place of this one; keys are compared as text."""
    it, is_arrival = situation, situation.trigger is Trigger.NEW_DATA
    if not it.partition:
        return []
    if it.newest_trained > it.partition:
        known = f"version {it.newest_version} was trained on the newer partition {it.newest_trained}"
        return [f"partition {it.partition} is older: {known}"]
    if is_arrival and it.announced > it.partition:
        return [f"partition {it.partition} is older: {it.announced} was announced, whose own run may train"]
    if is_arrival and it.repeated_by:
        return [f"version {it.repeated_by} was trained on partition {it.partition}, unchanged since"]
    return []


def _nothing(situation: Situation) -> str:
    seen = [f"{v.gate} {v.outcome}" for v in situation.verdicts] or ["nothing measured"]
    return f"no trigger for retraining ({', '.join(seen)})"
