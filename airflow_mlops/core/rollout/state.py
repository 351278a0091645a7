"""RolloutState: step, counts and evidence of a rollout; handed from task to task as plain JSON."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import groupby

from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.counters import ZERO_COUNTS, Reading, ReadingStatus
from airflow_mlops.core.rollout.evidence.interval import OddsRatioInterval
from airflow_mlops.core.rollout.evidence.prediction import PredictionShareTest
from airflow_mlops.core.rollout.evidence.rate import ErrorRateTest
from airflow_mlops.core.rollout.evidence.share import ArmCounts, ErrorShareTest, StepDecision
from airflow_mlops.core.rollout.lease import Lease
from airflow_mlops.core.rollout.plan import RolloutMetric
from airflow_mlops.moved import names_of


class Phase(StrEnum):
    """Where a rollout stands.

    ``READY`` before the first step; ``STEPPING`` while evidence is gathered; ``WAITING_FOR_APPROVAL``
    when it is good and a person has to approve; ``HELD`` when it is inconclusive and a person has to decide;
    ``PASSED`` when traffic may go on; ``ROLLED_BACK`` is final.
    """

    READY = "ready"
    STEPPING = "stepping"
    WAITING_FOR_APPROVAL = "waiting_for_approval"
    HELD = "held"
    PASSED = "passed"
    ROLLED_BACK = "rolled_back"

    @classmethod
    def _missing_(cls, value: object) -> Phase | None:
        """Read the phase ``promoted``, which states had once after their last step was passed."""
        return cls.PASSED if value == "promoted" else None


_OPEN = (Phase.STEPPING, Phase.WAITING_FOR_APPROVAL, Phase.HELD)
_ASKING = (Phase.WAITING_FOR_APPROVAL, Phase.HELD)


@dataclass(frozen=True, slots=True, kw_only=True)
class TracePoint(Record):
    """One applied window, for reports; in long steps, several neighbouring windows merged.

    :param e_value: evidence on errors against the canary.
    :param others: the same of the other tests: ``client_errors``, ``latency``, ``quality``, ``predictions``,
        and ``alone``, the error rate without a stable arm.
    :param harmless: evidence that lets the step go on; 0 where that is not how it is decided.
    """

    at: float
    percent: int
    window: ArmCounts
    e_value: float
    others: dict[str, float] = field(default_factory=dict)
    harmless: float = 0.0


def thinned(trace: tuple[TracePoint, ...], limit: int) -> tuple[TracePoint, ...]:
    """Return a trace of at most ``limit`` points: a longer one is merged to half of that, evenly in time.

    Neighbours are added up and no request is lost.
    """
    if len(trace) <= limit:
        return trace
    width = max(2 * (trace[-1].at - trace[0].at) / limit, 1e-9)
    groups = groupby(trace, key=lambda point: int((point.at - trace[0].at) / width))
    return tuple(_together(tuple(group)) for _, group in groups)


def _together(points: tuple[TracePoint, ...]) -> TracePoint:
    return replace(points[-1], window=sum((point.window for point in points), start=ZERO_COUNTS))


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutAnswer(Record):
    """A person's answer to a rollout that asks.

    :param percent: the step the answer is about; an answer to another step changes nothing.
    :param go_on: ``True`` to go on with more traffic, ``False`` to roll back.
    :param by: who answered.
    """

    percent: int
    go_on: bool
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutState(Record):
    """Where a rollout is, and its evidence.

    The counters of ``last`` and the tests always belong together: a task that resumes from a state counts
    on from where its evidence ends, so no request is counted twice or lost.

    :param champion: version that served when the rollout began; ``None`` at a cold start.
    :param share: the test of errors, never reset.
    :param rate: the canary's error rate against the plan's allowance.
    :param alone: the same, of windows in which the canary had all the traffic.
    :param others: share tests of the other watched metrics.
    :param seen: answers of the canary per watched metric in the current step.
    :param step_since: when the current step's traffic was set, seconds since the epoch.
    :param clock: latest time; it never runs back.
    :param counted_at: when ``last`` was read: the next window begins there.
    :param step_requests: the canary's requests in the current step without those that it refused (4xx),
        which are counted in ``step_refused``; ``step_errors``: how many of them failed.
    :param said: what a person answered about the current step.
    :param approved_by: who agreed to leave it.
    :param lease: under which the current step's traffic was set; ``None`` where the back end has none.
    :param intervened: whether the rollout is held because the weights are not those it wrote.
    :param holds: how many times the current step began to wait for a person.
    :param arrivals: readings of the current step by kind.
    :param retired: counters that started again and must not be counted any more.
    :param trace: windows of the current step, oldest first.
    """

    version: str
    champion: str | None
    share: ErrorShareTest
    rate: ErrorRateTest
    alone: ErrorRateTest
    others: dict[RolloutMetric, ErrorShareTest] = field(default_factory=dict)
    predictions: PredictionShareTest | None = None
    interval: OddsRatioInterval | None = None
    seen: dict[RolloutMetric, int] = field(default_factory=dict)
    phase: Phase = Phase.READY
    percent: int = 0
    step_since: float = 0.0
    step_requests: int = 0
    step_errors: int = 0
    step_refused: int = 0
    clock: float = 0.0
    counted_at: float = 0.0
    last: Reading = field(default_factory=Reading)
    retired: tuple[str, ...] = ()
    arrivals: dict[ReadingStatus, int] = field(default_factory=dict)
    said: RolloutAnswer | None = None
    approved_by: str | None = None
    lease: Lease | None = None
    intervened: bool = False
    holds: int = 0
    decision: StepDecision = StepDecision.CONTINUE
    reasons: tuple[str, ...] = ()
    trace: tuple[TracePoint, ...] = ()

    @property
    def watched(self) -> tuple[RolloutMetric, ...]:
        """What the plan watches."""
        shifts = () if self.predictions is None else (RolloutMetric.PREDICTIONS,)
        return (RolloutMetric.ERRORS, *self.others, *shifts)

    @property
    def given_percent(self) -> int:
        """The canary's share of requests: the step's, or all of them at a cold start, 0 to 100."""
        return 100 if self.champion is None and self.percent else self.percent

    @property
    def bar(self) -> float:
        """E-value at which a test rolls back: ``alpha`` was divided among all tests when it began."""
        return 1 / self.share.alpha

    @property
    def is_open(self) -> bool:
        """Whether more evidence, or an answer, can still change where this step ends."""
        return self.phase in _OPEN

    @property
    def asks(self) -> bool:
        """Whether a person has to answer before traffic may rise."""
        return self.phase in _ASKING

    @property
    def may_go_on(self) -> bool:
        """Whether the step ended so that the rollout may go on."""
        return self.phase is Phase.PASSED


__getattr__ = names_of(__name__)
