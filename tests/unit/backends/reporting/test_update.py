from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest
from builders import candidate, comparison, finding, report, state_at, watched

from airflow_mlops.backends.reporting.update import render_update
from airflow_mlops.backends.reporting.update_plots import metric_plot, segment_plots, unit_of
from airflow_mlops.core.release.approval import ApprovalAnswer, ApprovalDecision
from airflow_mlops.core.release.readiness import (
    Difference,
    ReadinessMeasurements,
    ReadinessPolicy,
    ReadinessReport,
    Timing,
    judge_readiness,
)
from airflow_mlops.core.release.version_status import (
    CardState,
    Missing,
    Parts,
    UpdateData,
    UpdateRollout,
    update_report,
)
from airflow_mlops.core.rollout.history import RolloutHistory, steps_of
from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.core.validation.report import ComparisonAnswer, Value, WeakSlice
from airflow_mlops.core.verdict import Outcome, Verdict

NASTY = "<script>alert(1)</script>"
VALUES = tuple(
    Value(metric="roc_auc", model=model, value=value, lower=value - 0.01, upper=value + 0.01)
    for model, value in (("challenger", 0.81), ("champion", 0.8), ("baseline", 0.5))
)
WEAK = WeakSlice(
    name="hour in (6, 9]",
    metric="log_loss",
    rows=900,
    gain=-0.05,
    lower=-0.07,
    upper=-0.03,
    allowed=0.02,
)


def validated(*segments, **more):
    known = {"values": VALUES, "versions": {"challenger": "2", "champion": "1"}}
    return replace(report(comparison(), *segments), **known | more)


def page(url="", **parts):
    known = {"model": "m", "version": "2", "evidence_run": "e", "written_at": "2026-01-01T00:00:00Z"}
    paths = {part: f"{part}.html" for part in ("schema", "skew", "validation", "readiness", "card")}
    return render_update(update_report(Parts(**parts), **known), url, paths)


def text_of(html):
    """What a reader sees."""
    seen = []

    class Reader(HTMLParser):
        def handle_data(self, data):
            seen.append(data)

    Reader().feed(html.partition("</style>")[2])
    return " ".join(" ".join(seen).split())


def ready(**measured):
    fast = Timing(requests=200, p50_ms=3.0, p99_ms=12.0, per_second=150.0)
    found = ReadinessMeasurements(
        **{"model": "m", "version": "2", "one_by_one": fast, "at_once": fast, "model_mb": 1.0} | measured
    )
    policy = ReadinessPolicy(max_p99_ms=10.0, max_rss_mb=500.0)
    return ReadinessReport(verdict=judge_readiness(found, policy), measured=found, policy=policy)


def test_verdict_and_its_reasons_come_first():
    told = validated(verdict=Verdict.of("validation", [finding(Outcome.FAIL, reason="JFK is worse")]))
    seen = text_of(page(validation=told, candidate=candidate()))
    assert seen.index("Refused by validation") < seen.index("JFK is worse") < seen.index("Metrics")
    assert "trained on 3,000 rows of 2013-01 because: new data" in seen


def test_inconclusive_validation_is_not_called_worse_than_it_is():
    unsure = validated(verdict=Verdict.of("validation", [finding(Outcome.INCONCLUSIVE)]))
    assert "Not accepted: validation could not tell" in page(validation=unsure)


def test_every_model_has_its_value_bounds_and_verdict_and_the_floor_too():
    findings = [
        replace(finding(subject="roc_auc", reason="lower bound above"), check="floor", allowed=0.75),
        replace(
            finding(Outcome.INCONCLUSIVE, subject="roc_auc", reason="too close"), check="against_champion"
        ),
        replace(finding(subject="roc_auc", reason="beats it"), check="against_baseline"),
    ]
    html = page(validation=validated(verdict=Verdict.of("validation", findings)))
    seen = text_of(html)
    for said in ("0.8100 0.8000 to 0.8200", "0.8000 0.7900 to 0.8100", "+0.0020 to +0.0180", "floor 0.75"):
        assert said in seen, said
    for said in ("lower bound above", "too close", "beats it"):
        assert said in seen, said
    rows = html.partition("<tbody>")[2].partition("</tbody>")[0].split("<tr")[1:]
    assert [row.partition('class="tag ')[2].partition('"')[0] for row in rows] == [
        "inconclusive",
        "inconclusive",
        "pass",
        "pass",
    ]


def test_page_without_anything_names_every_part_as_not_there():
    html = page(missing=(Missing(part="approval", reason="nobody was asked"),))
    seen = text_of(html)
    assert seen.count("A missing part does not count as passed") == 13
    assert "nobody was asked" in seen
    assert 'class="tag pass"' not in html


def test_whatever_people_and_data_say_is_shown_as_text():
    asked = ApprovalDecision(model="m", version="2", answer=ApprovalAnswer.APPROVED, by=NASTY, comment=NASTY)
    segment = comparison(segment=f"origin={NASTY}", answer=ComparisonAnswer.WORSE)
    html = page(
        url="http://x/#/runs/1",
        validation=validated(segment, weak_slices=(replace(WEAK, name=NASTY),)),
        candidate=candidate(trigger_reason=NASTY),
        approval=asked,
        card=CardState(stated=(NASTY,), empty=(NASTY,)),
        data=UpdateData(rows=1, columns=1, partitions=(NASTY,)),
        readiness=ready(differences=(Difference(package=NASTY, recorded="1"),), requirements=1),
        missing=(Missing(part="skew", reason=NASTY),),
    )
    assert "<script" not in html
    assert text_of(html).count(NASTY) >= 8


@pytest.mark.parametrize("url", ["javascript:alert(1)", "", "file:///x"])
def test_only_a_servers_pages_are_linked(url):
    assert "<a " not in page(url=url, validation=validated())
    assert 'href="http://x/#/runs/1/artifacts/validation.html"' in page(
        url="http://x/#/runs/1", validation=validated()
    )


def test_readiness_is_shown_beside_its_limits_and_what_was_not_measured_is_said():
    seen = text_of(page(readiness=ready()))
    assert "Latency p99 12 ms at most 10 ms fail" in seen
    assert "Throughput 150 answers/s none no limit, not judged" in seen
    assert "Memory (RSS) not measured at most 500 MB inconclusive" in seen


def test_rollout_is_drawn_once_it_ended():
    plan = RolloutPlan(steps=(10, 50), bake_seconds=10.0, deadline_seconds=100.0, max_error_rate=0.5)
    bad = watched(plan, state_at(10), windows=10, canary_errors=9)
    steps = steps_of([bad])
    history = RolloutHistory(
        model="m", version="2", champion="1", promoted=False, reason="bad", bar=20, ended=50.0, steps=steps
    )
    ended = UpdateRollout(evidence_run="r", outcome="rolled_back", history=history)
    html = page(rollouts=(ended,))
    assert "e-value" in html
    assert "Rolled back" in html
    under_way = page(rollouts=(UpdateRollout(evidence_run="r"),))
    assert "Under way" in under_way
    assert "e-value" not in under_way


def test_segments_are_drawn_worst_first_and_small_ones_set_no_scale():
    small = comparison(
        segment="a=1", rows=5, gain=9.0, lower=-9.0, upper=19.0, answer=ComparisonAnswer.TOO_SMALL
    )
    worse = comparison(segment="a=2", gain=-0.05, lower=-0.06, upper=-0.04, answer=ComparisonAnswer.WORSE)
    fine = comparison(segment="a=3", answer=ComparisonAnswer.NOT_WORSE)
    (plot, searched) = segment_plots(validated(small, fine, worse, weak_slices=(WEAK,)))
    assert [row.name for row in plot.forest.rows] == ["all rows", "a=2", "a=3", "a=1"]
    assert plot.forest.rows[1].at < plot.forest.line < plot.forest.rows[2].at
    assert plot.forest.rows[-1].beyond == 1
    assert (searched.metric, searched.looks) == ("log_loss", ("found",))
    assert searched.forest.rows[0].limit > searched.forest.rows[0].high
    assert segment_plots(validated()) == []


def test_far_baseline_leaves_room_for_what_is_compared():
    drawn = metric_plot(validated(), "roc_auc", 0.75)
    assert [row.beyond for row in drawn.rows] == [0, 0, -1]
    assert drawn.label == "roc_auc (0 to 1); more is better"
    alone = metric_plot(validated(values=(VALUES[0], VALUES[2])), "roc_auc", None)
    assert [row.beyond for row in alone.rows] == [0, 0]


def test_units_are_said_where_they_are_known():
    assert [unit_of(name) for name in ("roc_auc", "ndcg@10", "neg_log_loss", "profit")] == [
        "0 to 1",
        "0 to 1",
        "nats per row",
        "the metric's own unit",
    ]


def test_loss_says_that_less_is_better():
    values = (Value(metric="log_loss", model="challenger", value=0.2),)
    loss = comparison(metric="log_loss", challenger=0.2, other=0.3, gain=0.1)
    drawn = metric_plot(replace(report(loss), values=values), "log_loss", None)
    assert drawn.label == "log_loss (nats per row); less is better"


def test_gain_since_the_anchor_and_the_tries_on_these_rows_are_said():
    told = validated(comparison(rival="anchor", lower=-0.004), tries=3, anchor_tries=12, anchor_alpha=0.036)
    told = replace(told, versions={"challenger": "9", "champion": "8", "anchor": "5"})
    seen = text_of(page(validation=told))
    assert "Gain since the anchor, version 5: " in seen
    assert "comparison 12 with it at alpha 0.036." in seen
    assert "Try 3 on these held-back rows, at alpha 0.05." in seen
