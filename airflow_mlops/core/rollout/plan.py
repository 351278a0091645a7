"""RolloutPlan: the traffic steps of a rollout, and the limits by which each step is decided."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from airflow_mlops.core.errors import InvalidPlanError
from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.freeze import Freeze
from airflow_mlops.moved import names_of

if TYPE_CHECKING:
    from collections.abc import Collection

__getattr__ = names_of(__name__)

_Word = TypeVar("_Word", bound=StrEnum)
_CONCURRENT = "it compares versions that answer at the same time"


class OnInconclusive(StrEnum):
    """What to do when a step is inconclusive at its deadline."""

    HOLD = "hold"
    ROLL_BACK = "roll_back"
    ADVANCE = "advance"


class Strategy(StrEnum):
    """How traffic moves."""

    CANARY = "canary"
    BLUE_GREEN = "blue_green"
    AB = "ab"


class RolloutMetric(StrEnum):
    """A metric that is compared between canary and stable version.

    Errors, client errors (4xx), latency and quality roll back; a shift of predictions holds the step for a
    person.
    """

    ERRORS = "errors"
    CLIENT_ERRORS = "client_errors"
    LATENCY = "latency"
    PREDICTIONS = "predictions"
    QUALITY = "quality"


COMPARED_METRICS = (RolloutMetric.CLIENT_ERRORS, RolloutMetric.LATENCY, RolloutMetric.QUALITY)
"""Metrics other than errors of which the canary's share is tested."""
_COMPARABLE = f"allowed: {', '.join(COMPARED_METRICS)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Record):
    """One traffic weight with its bake; values that are not given are the plan's.

    :param percent: the canary's share, 1 to 100.
    :param approve: a person has to approve before traffic rises from this step.
    """

    percent: int
    approve: bool = False
    bake_seconds: float | None = None
    deadline_seconds: float | None = None
    min_requests: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPlan(Record):
    """How traffic moves to a challenger.

    :param steps: canary shares in percent, strictly rising, 1 to 100; a ``Step`` where one needs more.
    :param strategy: ``canary`` in steps; ``blue_green`` is the one step 100; ``ab`` holds one split until
        the arms are shown to differ in the first of ``metrics``.
    :param bake_seconds: least time a step lasts before it may advance.
    :param deadline_seconds: longest time a step may wait for evidence.
    :param window_seconds: length of an observation window.
    :param warm_up_seconds: windows that begin earlier than that in a step are not counted.
    :param keep_old_seconds: how long the old version stays up, without traffic, after the promotion.
    :param lease_seconds: how long the canary keeps its traffic after the last analysis.
    :param min_requests: requests the canary must have answered in a step before it may advance.
    :param max_error_rate: share of failed requests the canary must be shown to stay below, (0, 1).
    :param burst: most requests that fail from one cause, a client's retries included (the block length of
        dependent failures): 1 if they are independent; ``None``: all of a window. The rate test needs as many
        times more requests.
    :param retry_horizon_seconds: how long after a failure the same cause may fail again: the longest pause
        between a client's retries and its time-out. Windows that one cause may link are one observation.
        0: a cause's failures are in one window.
    :param outage_share: share of the canary's requests, up to 1, whose failure rolls back at once, whatever
        the tests say (:mod:`.outage`); 0: never. It has no part of ``alpha``.
    :param outage_requests: least requests of the canary for that.
    :param metrics: metrics by which the canary may be rolled back or held; they share ``alpha``. A source
        that cannot measure one of them is refused, and a step without data on one of them does not advance.
    :param optional_metrics: metrics that are watched, too, where the source measures them and a champion
        answers beside the canary: ``client_errors``, ``latency``, ``quality``.
    :param alpha: probability of rolling back a healthy canary, and of advancing on a false claim, (0, 0.5].
    :param freeze: times in which traffic may not rise.
    """

    steps: tuple[int | Step, ...] = (5, 25, 50)
    strategy: Strategy = Strategy.CANARY
    bake_seconds: float = 600.0
    deadline_seconds: float = 7200.0
    window_seconds: float = 5.0
    warm_up_seconds: float = 0.0
    keep_old_seconds: float = 0.0
    lease_seconds: float = 300.0
    min_requests: int = 50
    max_error_rate: float = 0.02
    burst: int | None = None
    retry_horizon_seconds: float = 0.0
    outage_share: float = 0.5
    outage_requests: int = 40
    metrics: tuple[RolloutMetric, ...] = (RolloutMetric.ERRORS,)
    optional_metrics: tuple[RolloutMetric, ...] = ()
    alpha: float = 0.05
    on_inconclusive: OnInconclusive = OnInconclusive.ROLL_BACK
    freeze: tuple[Freeze, ...] = ()

    def __post_init__(self) -> None:
        """Read words as what they name; refuse a plan that must not be carried out."""
        self._read_words()
        bounds = (problem for index in range(len(self.steps)) for problem in self._step_bounds(index))
        for problem in (_steps_problem(self.percents), self._shape_problem(), *self._bounds(), *bounds):
            if problem:
                raise InvalidPlanError(problem)

    @property
    def percents(self) -> tuple[int, ...]:
        """The canary's shares, rising."""
        return tuple(step.percent if isinstance(step, Step) else step for step in self.steps)

    @property
    def alpha_each(self) -> float:
        """The part of ``alpha`` of each test if only ``metrics`` are watched."""
        return self.alpha_among(len(self.metrics))

    def alpha_among(self, watched: int) -> float:
        """Return the part of ``alpha`` of each test (Bonferroni): together the tests have ``alpha``.

        One test per watched metric. Steps that end at 100 % have one more, of errors against
        ``max_error_rate``, since no stable arm is left. Half of an A/B test's ``alpha`` is for "worse" of its
        interval.
        """
        if self.strategy is Strategy.AB:
            return self.alpha / 2 / watched
        alone = len(self.percents) > 1 and self.percents[-1] == 100
        return self.alpha / (watched + alone)

    def watched(
        self, measures: Collection[RolloutMetric], *, champion: str | None
    ) -> tuple[RolloutMetric, ...]:
        """Return ``metrics`` and what of ``optional_metrics`` can be compared with a champion's answers.

        :param measures: what the source can measure.
        :param champion: version that answers beside the canary; ``None`` at a cold start.
        """
        if champion is None or self.percents[0] == 100:
            return self.metrics
        also = [metric for metric in self.optional_metrics if metric in measures]
        return tuple(dict.fromkeys((*self.metrics, *also)))

    @property
    def linked_seconds(self) -> float:
        """How long after a failure the same cause may fail again; 0 if requests fail independently."""
        return 0.0 if self.burst == 1 else self.retry_horizon_seconds

    def step_at(self, percent: int) -> Step:
        """Return the step of a share, completed by the plan's values.

        :raises InvalidPlanError: the plan has no such step.
        """
        for index, step in enumerate(self.steps):
            if self.percents[index] == percent:
                return self._filled(step)
        msg = f"rollout.steps: no step of {percent} %, allowed: {', '.join(map(str, self.percents))}"
        raise InvalidPlanError(msg)

    def may_ask(self, percent: int) -> bool:
        """Whether a person may be asked before traffic rises from a step."""
        holds = self.on_inconclusive is OnInconclusive.HOLD or RolloutMetric.PREDICTIONS in self.metrics
        return holds or self.step_at(percent).approve

    def _read_words(self) -> None:
        """Accept ``on_inconclusive="hold"`` of Python authors: a word that is no member equals none."""
        read = {
            "strategy": _member(Strategy, self.strategy, "strategy"),
            "on_inconclusive": _member(OnInconclusive, self.on_inconclusive, "on_inconclusive"),
            "metrics": tuple(_member(RolloutMetric, each, "metrics") for each in self.metrics),
            "optional_metrics": tuple(
                _member(RolloutMetric, each, "optional_metrics") for each in self.optional_metrics
            ),
        }
        for name, value in read.items():
            object.__setattr__(self, name, value)

    def _filled(self, step: int | Step) -> Step:
        step = step if isinstance(step, Step) else Step(percent=step)
        names = ("bake_seconds", "deadline_seconds", "min_requests")
        own = {name: getattr(step, name) for name in names}
        values = {name: getattr(self, name) if value is None else value for name, value in own.items()}
        return Step(percent=step.percent, approve=step.approve, **values)

    def _shape_problem(self) -> str:
        if self.strategy is Strategy.BLUE_GREEN and self.percents != (100,):
            return f"rollout.steps: {list(self.percents)} of strategy blue_green, allowed: [100]"
        if self.strategy is Strategy.AB and (len(self.steps) != 1 or self.percents[0] == 100):
            return f"rollout.steps: {list(self.percents)} of strategy ab, allowed: one step from 1 to 99"
        if not self.metrics or len(set(self.metrics)) < len(self.metrics):
            return f"rollout.metrics: {list(map(str, self.metrics))}, allowed: at least one, each once"
        if self.strategy is Strategy.AB and self.metrics[0] is RolloutMetric.PREDICTIONS:
            allowed = ", ".join(metric for metric in RolloutMetric if metric is not RolloutMetric.PREDICTIONS)
            return f"rollout.metrics[0]: {self.metrics[0]} of strategy ab, allowed: {allowed}"
        others = [str(metric) for metric in self.metrics if metric is not RolloutMetric.ERRORS]
        if others and self.percents[0] == 100:
            return f"rollout.metrics: {others[0]} of a first step of 100 %, allowed: errors; {_CONCURRENT}"
        return ""

    def _step_bounds(self, index: int) -> tuple[str, ...]:
        step, key = self._filled(self.steps[index]), "rollout"
        if isinstance(self.steps[index], Step):
            key = f"rollout.steps[{index}]"
        bake, deadline, least = step.bake_seconds or 0.0, step.deadline_seconds or 0.0, step.min_requests or 0
        return (
            _unless(bake >= 0, f"{key}.bake: {bake} s, allowed: 0 or more"),
            _unless(
                bake < deadline < math.inf, f"{key}.deadline: {deadline} s, allowed: above bake ({bake} s)"
            ),
            _unless(
                deadline > self.warm_up_seconds,
                f"{key}.deadline: {deadline} s, allowed: above warm_up ({self.warm_up_seconds} s)",
            ),
            _unless(least >= 1 and least == int(least), f"{key}.min_requests: {least}, allowed: 1 or more"),
        )

    def _bounds(self) -> tuple[str, ...]:
        return (
            _unless(
                0 < self.window_seconds < math.inf,
                f"rollout.window: {self.window_seconds} s, allowed: above 0",
            ),
            _unless(
                self.warm_up_seconds >= 0, f"rollout.warm_up: {self.warm_up_seconds} s, allowed: 0 or more"
            ),
            _unless(
                0 <= self.keep_old_seconds < math.inf,
                f"rollout.keep_old: {self.keep_old_seconds} s, allowed: 0 or more",
            ),
            _unless(
                self.window_seconds < self.lease_seconds < math.inf,
                f"rollout.lease: {self.lease_seconds} s, allowed: above window ({self.window_seconds} s)",
            ),
            _unless(
                0 < self.max_error_rate < 1,
                f"rollout.max_error_rate: {self.max_error_rate}, allowed: above 0 and below 1",
            ),
            _unless(
                self.burst is None or (self.burst >= 1 and self.burst == int(self.burst)),
                f"rollout.burst: {self.burst}, allowed: 1 or more",
            ),
            _unless(
                0 <= self.retry_horizon_seconds < math.inf,
                f"rollout.retry_horizon: {self.retry_horizon_seconds} s, allowed: 0 or more",
            ),
            _unless(
                0 <= self.outage_share <= 1, f"rollout.outage_share: {self.outage_share}, allowed: 0 to 1"
            ),
            _unless(
                self.outage_requests >= 1 and self.outage_requests == int(self.outage_requests),
                f"rollout.outage_requests: {self.outage_requests}, allowed: 1 or more",
            ),
            _unless(0 < self.alpha <= 0.5, f"rollout.alpha: {self.alpha}, allowed: above 0 up to 0.5"),
            *(
                _unless(metric in COMPARED_METRICS, f"rollout.optional_metrics: {metric}, {_COMPARABLE}")
                for metric in self.optional_metrics
            ),
        )


def _member(kind: type[_Word], word: str, key: str) -> _Word:
    try:
        return kind(word)
    except ValueError as error:
        msg = f"rollout.{key}: {word!r}, allowed: {', '.join(kind)}"
        raise InvalidPlanError(msg) from error


def _unless(holds: bool, problem: str) -> str:  # noqa: FBT001 - a condition, not a switch
    return "" if holds else problem


def _steps_problem(steps: tuple[int, ...]) -> str:
    if not steps:
        return "rollout.steps: empty, allowed: at least one percent from 1 to 100"
    for index, percent in enumerate(steps):
        if not _is_whole(percent):
            return f"rollout.steps[{index}]: {percent!r}, allowed: whole percents from 1 to 100"
        if not 1 <= percent <= 100:
            return f"rollout.steps[{index}]: {percent} %, allowed: 1 to 100"
    for index, (lower, higher) in enumerate(pairwise(steps), start=1):
        if higher <= lower:
            return f"rollout.steps[{index}]: {higher} % after {lower} %, allowed: strictly rising"
    return ""


def _is_whole(percent: object) -> bool:
    return isinstance(percent, int) and not isinstance(percent, bool)


def require_percent(percent: object) -> None:
    """Refuse a traffic share that is no whole number from 0 to 100.

    :raises InvalidPlanError: names the value.
    """
    if not isinstance(percent, int) or not _is_whole(percent) or not 0 <= percent <= 100:
        msg = f"traffic share: {percent!r} %, allowed: whole numbers from 0 to 100"
        raise InvalidPlanError(msg)
