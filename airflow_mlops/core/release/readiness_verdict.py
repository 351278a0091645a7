"""Judges what was measured of a version in its real serving process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.core.release.readiness import ProbeKind, Reply
from airflow_mlops.core.validation.report import noted
from airflow_mlops.core.verdict import Finding, Outcome, Verdict

if TYPE_CHECKING:
    from airflow_mlops.core.release.readiness import (
        ProbeAnswer,
        ReadinessMeasurements,
        ReadinessPolicy,
        Timing,
    )

_GATE = "readiness"
_FEWEST = 20
"""Answered requests below which a latency is not judged."""
_KEPT_UP = 0.95
"""Share of a load's rate that has to be answered."""


def judge_readiness(found: ReadinessMeasurements, policy: ReadinessPolicy) -> Verdict:
    """Conclude; what was to be measured and was not is never a pass."""
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
        reason = "the model has no signature with named columns: edge rows cannot be made"
        findings.append(_finding("signature", "model", Outcome.INCONCLUSIVE, reason))
    if not found.has_example:
        reason = "the model has no input example: a row was made from the signature"
        findings.append(_finding("signature", "example", Outcome.WARN, reason))
    return findings


def _answers(found: ReadinessMeasurements, policy: ReadinessPolicy) -> list[Finding]:
    if not found.answers:
        return [_finding("answers", "server", Outcome.INCONCLUSIVE, "no request was sent")]
    findings = [one for answer in found.answers if (one := _answer(answer, policy)) is not None]
    for kind in ProbeKind:
        sent = [one for one in found.answers if one.kind is kind]
        if sent and not any(f.check == f"answers_{kind}" for f in findings):
            reason = f"{len(sent)} requests of kind {kind} were answered as they should"
            findings.append(_finding(f"answers_{kind}", kind, Outcome.PASS, reason))
    untested = [kind for kind in ProbeKind if policy.reply(kind) is Reply.UNTESTED]
    return [*findings, *(noted(kind, f"{kind}: not tried, as the configuration says") for kind in untested)]


def _answer(answer: ProbeAnswer, policy: ReadinessPolicy) -> Finding | None:
    """Return what is wrong with an answer; ``None`` if it is as the policy wants it."""
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
    """Compare with a limit: an upper one, but for rates."""
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
