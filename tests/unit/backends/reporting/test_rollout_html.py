from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

from builders import plan, state_at, watched

from airflow_mlops.backends.reporting.rollout_html import render_rollout
from airflow_mlops.backends.reporting.rollout_plots import BINS, HEIGHT, TOP, WIDTH, plots_of
from airflow_mlops.core.rollout.history import RolloutHistory, steps_of, why_rolled_back
from airflow_mlops.core.rollout.machine import Answer, answer, begin_step
from airflow_mlops.core.rollout.plan import Step
from airflow_mlops.core.rollout.state import Phase

PLAN = plan()


def history(states, *, promoted=True, ended=100.0, **more):
    steps = steps_of(states)
    reason = why_rolled_back(steps)
    known = {"model": "m", "version": "2", "champion": "1", "reason": reason, "bar": 20.0}
    return RolloutHistory(**known | {"promoted": promoted, "ended": ended, "steps": steps} | more)


def two_steps():
    first = watched(PLAN, state_at(10), windows=10, seconds=2.0)
    begun = begin_step(replace(first, trace=()), 50, first.last, now=24.0)
    return first, watched(PLAN, begun, windows=10, now=24.0, seconds=2.0)


def test_weights_rise_in_steps_and_end_at_all_or_nothing():
    states = two_steps()
    assert [state.phase for state in states] == [Phase.PASSED, Phase.PASSED]
    drawn = plots_of(history(states))
    assert drawn.weights.startswith(f"M0,{HEIGHT}.0 H0.0 V")
    assert drawn.weights.endswith(f"V{TOP}.0 H{WIDTH}")
    assert plots_of(history(states, promoted=False)).weights.endswith(f"V{HEIGHT}.0 H{WIDTH}")
    assert [mark.number for mark in drawn.marks] == [1, 2]
    assert 0 < drawn.marks[0].x < drawn.marks[1].x < WIDTH


def test_evidence_that_rolls_back_crosses_the_bar():
    bad = watched(PLAN, state_at(10), windows=10, canary_errors=9)
    assert bad.phase is Phase.ROLLED_BACK
    drawn = plots_of(history([bad], promoted=False))
    heights = [float(point.split(",")[1]) for point in drawn.evidence[1:].split(" L")]
    assert min(heights) <= drawn.bar < heights[0]
    assert drawn.top_share == 0.3


def test_many_windows_are_drawn_as_few_points():
    long = watched(plan(bake_seconds=1000.0, deadline_seconds=2000.0), state_at(10), windows=400)
    drawn = plots_of(history([long], ended=500.0))
    assert drawn.canary.count(",") <= BINS


def test_page_says_why_with_requests_per_version():
    bad = watched(PLAN, state_at(10), windows=3, canary_errors=9)
    page = render_rollout(history([bad], promoted=False))
    assert "Rolled back" in page
    assert "version 2 at 10 %: canary fails more than stable" in page
    assert f"{bad.step_errors} of {bad.step_requests}" in page
    assert "<script" not in page


def test_page_is_whole_when_nothing_was_seen():
    page = render_rollout(history([], promoted=False))
    assert "a task failed before traffic moved" in page
    assert "<svg" not in page


def test_whatever_a_reason_says_is_shown_as_text():
    bad = watched(PLAN, state_at(10), windows=1)
    nasty = replace(bad, reasons=("<img src=x onerror=alert(1)>",))
    page = render_rollout(history([nasty], promoted=False, champion=None, model="<b>"))
    assert "<img" not in page
    assert "<b>" not in page
    assert "cold start" in page
    HTMLParser().feed(page)


def test_step_with_an_answer_is_one_step_with_both_reasons():
    its_plan = plan(steps=(Step(percent=10, approve=True), 50))
    asked = watched(its_plan, state_at(10, steps=its_plan.steps), windows=10, seconds=2.0)
    said = Answer(percent=10, go_on=True, by="Ann")
    done = answer(its_plan, replace(asked, trace=()), said, now=60.0)
    (step,) = steps_of([done, asked])
    assert (step.phase, step.ended, len(step.trace)) == (Phase.PASSED, 60.0, len(asked.trace))
    assert "Ann agreed" in step.reasons[-1]


def test_failure_after_a_passed_step_is_not_blamed_on_the_canary():
    assert "after the step of 50 % was passed" in why_rolled_back(steps_of(two_steps()))
