"""Readiness: limits for a version in its real serving process, what was measured there, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.record import Record
from airflow_mlops.core.validation.report import noted
from airflow_mlops.core.verdict import Finding, Outcome, Verdict

_MOST_REQUESTS = 10_000
_MOST_PER_SECOND = 1000.0
_LONGEST_LOAD_SECONDS = 300.0
_GATE = "readiness"
_FEWEST = 20
"""Answered requests below which a latency is not judged."""
_KEPT_UP = 0.95
"""Share of a load's rate that has to be answered."""


class Reply(StrEnum):
    """How a server must answer a probe request with an edge case; never with a 5xx."""

    PREDICT = "predict"
    REFUSE = "refuse"
    EITHER = "either"
    UNTESTED = "untested"


class ProbeKind(StrEnum):
    """What a probe request tests."""

    EXAMPLE = "example"
    NULLS = "nulls"
    UNSEEN = "unseen"
    EXTREMES = "extremes"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPolicy(Record):
    """Load test at a constant rate, open loop: requests do not wait for earlier answers.

    :param per_second: requests per second, (0, 1000].
    :param seconds: duration, (0, 300].
    :param max_p99_ms: limit of the latency from when a request was due until it was answered.
    """

    per_second: float
    seconds: float = 10.0
    max_p99_ms: float | None = None

    def __post_init__(self) -> None:
        """Refuse rates, durations and limits outside their range."""
        _within("load.per_second", self.per_second, _MOST_PER_SECOND)
        _within("load.seconds", self.seconds, _LONGEST_LOAD_SECONDS)
        if self.max_p99_ms is not None:
            _within("load.max_p99_ms", self.max_p99_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessPolicy(Record):
    """What "ready to serve" means; a limit of ``None`` is measured and not judged.

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
        """Refuse limits outside their range."""
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
        """Return how requests of a kind must be answered."""
        edges = {
            ProbeKind.NULLS: self.nulls,
            ProbeKind.UNSEEN: self.unseen,
            ProbeKind.EXTREMES: self.extremes,
        }
        fixed = {ProbeKind.EXAMPLE: Reply.PREDICT, ProbeKind.MALFORMED: Reply.REFUSE}
        return (edges | fixed)[kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference(Record):
    """A package, or ``python``, whose recorded version differs from the serving environment's.

    :param found: the version there; ``None`` if it is not installed.
    """

    package: str
    recorded: str
    found: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAnswer(Record):
    """The server's answer to one probe request.

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
    """Everything that was measured of a version in its serving process.

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


def judge_readiness(found: ReadinessMeasurements, policy: ReadinessPolicy) -> Verdict:
    """Conclude; what could not be measured never passes."""
    findings = [*_requirements(found, policy), *_limits(found, policy)]
    if found.unusable:
        findings.append(_finding("serves", found.version, Outcome.FAIL, found.unusable))
        return Verdict.of(_GATE, findings)
    findings += [*_signature(found), *_answers(found, policy), *_speed(found, policy), *_load(found, policy)]
    findings += [noted("notes", note) for note in found.notes]
    return Verdict.of(_GATE, findings)


def _requirements(found: ReadinessMeasurements, policy: ReadinessPolicy) -> list[Finding]:
    if found.requirements is None:
        reason = "the model recorded no requirements: they cannot be compared with the serving environment"
        return [_finding("requirements", "model", Outcome.INCONCLUSIVE, reason)]
    if not found.differences:
        reason = f"{found.requirements} recorded requirements are met"
        return [_finding("requirements", "model", Outcome.PASS, reason)]
    return [
        _finding(
            "requirements",
            one.package,
            policy.differences,
            f"{one.package}: recorded {one.recorded}, serving has {one.found or 'none'}",
        )
        for one in found.differences
    ]


def _signature(found: ReadinessMeasurements) -> list[Finding]:
    findings = []
    if found.inputs is None:
        reason = "the model has no signature with named columns: no edge cases can be generated"
        findings.append(_finding("signature", "model", Outcome.INCONCLUSIVE, reason))
    if not found.has_example:
        reason = "the model has no input example: a row was generated from the signature"
        findings.append(_finding("signature", "example", Outcome.WARN, reason))
    return findings


def _answers(found: ReadinessMeasurements, policy: ReadinessPolicy) -> list[Finding]:
    if not found.answers:
        return [_finding("answers", "server", Outcome.INCONCLUSIVE, "no request was sent")]
    findings = [one for answer in found.answers if (one := _answer(answer, policy)) is not None]
    for kind in ProbeKind:
        sent = [one for one in found.answers if one.kind is kind]
        if sent and not any(f.check == f"answers_{kind}" for f in findings):
            reason = f"{len(sent)} requests of kind {kind} were answered as required"
            findings.append(_finding(f"answers_{kind}", kind, Outcome.PASS, reason))
    untested = [kind for kind in ProbeKind if policy.reply(kind) is Reply.UNTESTED]
    return [*findings, *(noted(kind, f"{kind}: not tested, by configuration") for kind in untested)]


def _answer(answer: ProbeAnswer, policy: ReadinessPolicy) -> Finding | None:
    """Return what is wrong with an answer; ``None`` if it meets the policy."""
    wanted = policy.reply(answer.kind)
    predicted = answer.status == 200 and not answer.problem
    refused = answer.status is not None and 400 <= answer.status < 500
    if (predicted and wanted is not Reply.REFUSE) or (refused and wanted is not Reply.PREDICT):
        return None
    said = "no answer" if answer.status is None else f"status {answer.status}"
    why = f" ({answer.problem})" if answer.problem else ""
    allowed = {Reply.PREDICT: "a prediction", Reply.REFUSE: "a 4xx"}.get(wanted, "a prediction or a 4xx")
    reason = f"{answer.subject}: {said}{why}, allowed: {allowed}"
    return _finding(f"answers_{answer.kind}", answer.subject, Outcome.FAIL, reason, observed=said)


def _speed(found: ReadinessMeasurements, policy: ReadinessPolicy) -> list[Finding]:
    one, many = found.one_by_one, found.at_once
    return [
        *_failures("one_by_one", one),
        *_failures("at_once", many),
        *_limited("p50_ms", _known(one, "p50_ms"), policy.max_p50_ms, "ms"),
        *_limited("p99_ms", _known(one, "p99_ms"), policy.max_p99_ms, "ms"),
        *_limited("per_second", _known(many, "per_second"), policy.min_per_second, "answers/s"),
    ]


def _load(found: ReadinessMeasurements, policy: ReadinessPolicy) -> list[Finding]:
    wanted, seen = policy.load, found.load
    if wanted is None:
        return []
    if seen is None:
        return [_finding("load", "server", Outcome.INCONCLUSIVE, "the load was not sent")]
    rate, goal = seen.per_second or 0.0, wanted.per_second
    outcome = Outcome.PASS if rate >= _KEPT_UP * goal else Outcome.FAIL
    reason = f"load of {goal:g} requests/s for {wanted.seconds:g} s: {rate:.1f} answered per second"
    return [
        _finding("load", "per_second", outcome, reason, rate, goal),
        *_failures("load", seen),
        *_limited("load_p99_ms", _known(seen, "p99_ms"), wanted.max_p99_ms, "ms"),
    ]


def _limits(found: ReadinessMeasurements, policy: ReadinessPolicy) -> list[Finding]:
    limits = (
        ("model_mb", found.model_mb, policy.max_model_mb, "MB"),
        ("rss_mb", found.rss_mb, policy.max_rss_mb, "MB"),
        ("start_seconds", found.start_seconds, policy.max_start_seconds, "s"),
    )
    return [finding for limit in limits for finding in _limited(*limit)]


def _failures(name: str, timing: Timing | None) -> list[Finding]:
    if timing is None or not timing.failed:
        return []
    reason = f"{name}: {timing.failed} of {timing.requests} requests got no prediction, allowed 0"
    return [_finding("answers", name, Outcome.FAIL, reason, timing.failed, 0)]


def _limited(name: str, value: float | None, limit: float | None, unit: str) -> list[Finding]:
    """Compare with a limit: an upper one, or for rates a lower one."""
    if limit is None:
        return [] if value is None else [noted(name, f"{name} {value:.4g} {unit}, no limit")]
    if value is None:
        reason = f"{name}: not measured, limit {limit:g} {unit}"
        return [_finding("limit", name, Outcome.INCONCLUSIVE, reason, allowed=limit)]
    is_met = value >= limit if name == "per_second" else value <= limit
    reason = f"{name} {value:.4g} {unit}, limit {limit:g}"
    return [_finding("limit", name, Outcome.PASS if is_met else Outcome.FAIL, reason, value, limit)]


def _known(timing: Timing | None, name: str) -> float | None:
    if timing is None or timing.requests - timing.failed < _FEWEST:
        return None
    value: float | None = getattr(timing, name)
    return value


def _finding(
    check: str,
    subject: str,
    outcome: Outcome,
    reason: str,
    observed: float | str | None = None,
    allowed: float | None = None,
) -> Finding:
    return Finding(
        check=check, subject=subject, outcome=outcome, reason=reason, observed=observed, allowed=allowed
    )


def _within(name: str, value: float, most: float = float("inf")) -> None:
    if not 0 < value <= most:
        limit = f" and at most {most:g}" if most < float("inf") else ""
        msg = f"readiness.{name}: {value:g}, allowed: above 0{limit}"
        raise InvalidConfigError(msg)
