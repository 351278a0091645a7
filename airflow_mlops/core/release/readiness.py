"""Readiness: limits for a version in its real serving process, and what was measured there."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.record import Record
from airflow_mlops.core.verdict import Outcome, Verdict

_MOST_REQUESTS = 10_000
_MOST_PER_SECOND = 1000.0
_LONGEST_LOAD_SECONDS = 300.0


class Reply(StrEnum):
    """How a server has to answer an edge row; never with a 5xx."""

    PREDICT = "predict"
    REFUSE = "refuse"
    EITHER = "either"
    UNTESTED = "untested"


class ProbeKind(StrEnum):
    """What a request tries."""

    EXAMPLE = "example"
    NULLS = "nulls"
    UNSEEN = "unseen"
    EXTREMES = "extremes"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPolicy(Record):
    """Requests sent at a steady rate, whether or not earlier ones were answered.

    :param per_second: requests per second, (0, 1000].
    :param seconds: for how long, (0, 300].
    :param max_p99_ms: from when a request was due until it was answered.
    """

    per_second: float
    seconds: float = 10.0
    max_p99_ms: float | None = None

    def __post_init__(self) -> None:
        """Refuse what would not end, or never begin."""
        _within("load.per_second", self.per_second, _MOST_PER_SECOND)
        _within("load.seconds", self.seconds, _LONGEST_LOAD_SECONDS)
        if self.max_p99_ms is not None:
            _within("load.max_p99_ms", self.max_p99_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessPolicy(Record):
    """What "ready to serve" means; a limit that is ``None`` is measured and not judged.

    :param differences: outcome when the serving environment has other versions than the model recorded.
    :param nulls: how rows with nulls are answered; ``unseen`` (category) and ``extremes`` alike.
    :param largest: magnitude of the extremes that are sent in number columns.
    :param max_p50_ms: one row a request, one request at a time; ``max_p99_ms`` alike.
    :param min_per_second: answers per second from ``clients`` at once.
    :param max_rss_mb: memory of the server's processes after all requests, 10^6 bytes.
    :param max_model_mb: the model's files, 10^6 bytes.
    :param max_start_seconds: from the start of the process until it is healthy.
    :param requests: how many are sent for latency, and again for throughput.
    """

    differences: Outcome = Outcome.WARN
    nulls: Reply = Reply.EITHER
    unseen: Reply = Reply.EITHER
    extremes: Reply = Reply.EITHER
    largest: float = 1e30
    max_p50_ms: float | None = None
    max_p99_ms: float | None = None
    min_per_second: float | None = None
    max_rss_mb: float | None = None
    max_model_mb: float | None = None
    max_start_seconds: float | None = None
    requests: int = 200
    clients: int = 4
    load: LoadPolicy | None = None

    def __post_init__(self) -> None:
        """Refuse limits that cannot be meant."""
        if self.differences not in (Outcome.PASS, Outcome.WARN, Outcome.FAIL):
            msg = f"readiness.differences: {self.differences}, allowed: pass, warn, fail"
            raise InvalidConfigError(msg)
        _within("largest", self.largest)
        _within("requests", self.requests, _MOST_REQUESTS)
        _within("clients", self.clients, 64)
        limits = ("max_p50_ms", "max_p99_ms", "min_per_second", "max_rss_mb", "max_model_mb")
        for name in (*limits, "max_start_seconds"):
            if getattr(self, name) is not None:
                _within(name, getattr(self, name))

    def reply(self, kind: ProbeKind) -> Reply:
        """Return how requests of a kind have to be answered."""
        edges = {
            ProbeKind.NULLS: self.nulls,
            ProbeKind.UNSEEN: self.unseen,
            ProbeKind.EXTREMES: self.extremes,
        }
        fixed = {ProbeKind.EXAMPLE: Reply.PREDICT, ProbeKind.MALFORMED: Reply.REFUSE}
        return (edges | fixed)[kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference(Record):
    """A package, or ``python``, that the model recorded otherwise than the serving environment has it.

    :param found: the version there; ``None`` if it is not installed.
    """

    package: str
    recorded: str
    found: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAnswer(Record):
    """What the server said to one request.

    :param subject: what was sent: ``null in dep_delay``.
    :param status: HTTP status; ``None`` if there was no answer.
    :param problem: why a 200 holds no valid prediction, or why there was no answer; empty if all is well.
    """

    kind: ProbeKind
    subject: str
    status: int | None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing(Record):
    """Latencies of requests, in milliseconds.

    :param failed: requests without a 200; they count in no latency.
    :param per_second: answers per second over the whole measurement.
    """

    requests: int
    failed: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    per_second: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessMeasurements(Record):
    """Everything that was measured.

    :param unusable: why the version could not be tried, or not to the end; empty if it was.
    :param inputs: how many columns the signature names; ``None`` without a signature.
    :param has_example: whether the model brings an input example.
    :param requirements: packages the model recorded; ``None`` if it recorded none.
    """

    model: str
    version: str
    unusable: str = ""
    inputs: int | None = None
    has_example: bool = False
    requirements: int | None = None
    differences: tuple[Difference, ...] = ()
    answers: tuple[ProbeAnswer, ...] = ()
    one_by_one: Timing | None = None
    at_once: Timing | None = None
    load: Timing | None = None
    start_seconds: float | None = None
    rss_mb: float | None = None
    model_mb: float | None = None
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessReport(Record):
    """What was measured, the limits, and the verdict they give."""

    verdict: Verdict
    measured: ReadinessMeasurements
    policy: ReadinessPolicy


def _within(name: str, value: float, most: float = float("inf")) -> None:
    if not 0 < value <= most:
        limit = f" and at most {most:g}" if most < float("inf") else ""
        msg = f"readiness.{name}: {value:g}, allowed: above 0{limit}"
        raise InvalidConfigError(msg)
