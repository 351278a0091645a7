from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest
from builders import plan, reading, state_at, watched

from airflow_mlops.backends.reporting.rollout import (
    MOST_POINTS,
    PLOT_HEIGHT,
    PLOT_TOP,
    PLOT_WIDTH,
    plots_of,
    render_rollout,
)
from airflow_mlops.core.rollout.evidence.share import ArmCounts
from airflow_mlops.core.rollout.history import RolloutHistory, steps_of, why_rolled_back
from airflow_mlops.core.rollout.machine import advance, answer, begin, begin_step
from airflow_mlops.core.rollout.plan import RolloutMetric, Step
from airflow_mlops.core.rollout.state import Phase, RolloutAnswer

PLAN = plan()


def history(states, *, promoted=True, ended=100.0, **more):
    steps = steps_of(states)
    reason = why_rolled_back(steps)
    known = {"model": "m", "version": "2", "champion": "1", "reason": reason, "bar": 20.0}
    return RolloutHistory(**known | {"promoted": promoted, "ended": ended, "steps": steps} | more)


def heights(path):
    return [float(point.split(",")[1]) for point in path[1:].split(" L")]


def two_steps():
    first = watched(PLAN, state_at(10), windows=10, seconds=2.0)
    begun = begin_step(replace(first, trace=()), 50, first.last, now=24.0)
    return first, watched(PLAN, begun, windows=10, now=24.0, seconds=2.0)


def test_weights_rise_in_steps_and_end_at_all_or_nothing():
    states = two_steps()
    assert [state.phase for state in states] == [Phase.PASSED, Phase.PASSED]
    drawn = plots_of(history(states))
    assert drawn.weights.startswith(f"M0,{PLOT_HEIGHT}.0 H0.0 V")
    assert drawn.weights.endswith(f"V{PLOT_TOP}.0 H{PLOT_WIDTH}")
    assert plots_of(history(states, promoted=False)).weights.endswith(f"V{PLOT_HEIGHT}.0 H{PLOT_WIDTH}")
    assert [mark.number for mark in drawn.marks] == [1, 2]
    assert 0 < drawn.marks[0].x < drawn.marks[1].x < PLOT_WIDTH


def test_evidence_that_rolls_back_crosses_the_bar():
    bad = watched(PLAN, state_at(10), windows=10, canary_errors=9)
    assert bad.phase is Phase.ROLLED_BACK
    drawn = plots_of(history([bad], promoted=False))
    assert min(heights(drawn.evidence["errors"])) <= drawn.bar < heights(drawn.evidence["errors"])[0]
    assert drawn.top_share == 0.3


def test_every_test_that_is_watched_is_drawn_and_the_one_that_blames_crosses_the_bar():
    its_plan = plan(metrics=(RolloutMetric.ERRORS, RolloutMetric.LATENCY))
    state = begin_step(begin(its_plan, "2", "1"), 10, reading(), now=0.0)
    for n in range(1, 20):
        slow = ArmCounts(
            canary_requests=30 * n, canary_errors=9 * n, stable_requests=270 * n, stable_errors=9 * n
        )
        state = advance(its_plan, state, reading(30 * n, 0, 270 * n, n, latency=slow), now=float(n))
    assert "slow more often" in state.reasons[0]
    drawn = plots_of(history([state], promoted=False, bar=40.0))
    assert set(drawn.evidence) == {"errors", "latency", "harmless"}
    assert min(heights(drawn.evidence["latency"])) <= drawn.bar < min(heights(drawn.evidence["errors"]))
    assert "slow more often" in render_rollout(history([state], promoted=False, bar=40.0))


def test_rate_is_drawn_instead_of_shares_where_no_stable_arm_answers():
    alone = watched(PLAN, state_at(10, champion=None), windows=10, stable_requests=0)
    drawn = plots_of(history([alone], champion=None))
    assert set(drawn.evidence) == {"alone", "harmless"}
    assert set(drawn.failures) == set(drawn.rates) == {"canary"}


@pytest.mark.parametrize(
    ("span", "ticks"),
    [
        (60.0, ["00:00:00", "00:00:10", "00:00:20", "00:00:30", "00:00:40", "00:00:50", "00:01:00"]),
        (3000.0, ["00:00", "00:10", "00:20", "00:30", "00:40", "00:50"]),
        (3 * 86400.0, ["00:00", "12:00", "00:00", "12:00", "00:00", "12:00", "00:00"]),
        (30 * 86400.0, ["Jan 01", "Jan 05", "Jan 09", "Jan 13", "Jan 17", "Jan 21", "Jan 25", "Jan 29"]),
    ],
)
def test_time_axis_has_round_moments(span, ticks):
    state = replace(watched(PLAN, state_at(10), windows=1), trace=())
    assert [text for _, text in plots_of(history([state], ended=span)).ticks] == ticks


def test_time_in_which_a_person_is_waited_for_is_shaded():
    its_plan = plan(steps=(Step(percent=10, approve=True), 50))
    asked = watched(its_plan, state_at(10, steps=its_plan.steps), windows=10, seconds=2.0)
    done = answer(
        its_plan, replace(asked, trace=()), RolloutAnswer(percent=10, go_on=True, by="Ann"), now=60.0
    )
    shown = history([asked, done], ended=100.0)
    (stretch,) = plots_of(shown).stretches
    assert (stretch.asked, stretch.ends) == (200.0, 600.0)
    assert "waits for a person" in render_rollout(shown)
    assert "waits for a person" not in render_rollout(history([done]))


def test_many_windows_are_drawn_as_few_points():
    long = watched(plan(bake_seconds=1000.0, deadline_seconds=2000.0), state_at(10), windows=400)
    drawn = plots_of(history([long], ended=500.0))
    assert drawn.failures["canary"].count(",") <= MOST_POINTS
    assert drawn.rates["stable"].count(",") <= 2 * MOST_POINTS
    assert drawn.top_rate == pytest.approx(270)


def test_page_says_why_with_requests_per_version():
    bad = watched(PLAN, state_at(10), windows=3, canary_errors=9)
    page = render_rollout(history([bad], promoted=False))
    assert "Rolled back" in page
    assert "version 2 at 10 %: canary fails more than stable" in page
    assert f"{bad.step_errors} of {bad.step_requests}" in page
    assert f"0 of {270 * len(bad.trace)}" in page
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
    said = RolloutAnswer(percent=10, go_on=True, by="Ann")
    done = answer(its_plan, replace(asked, trace=()), said, now=60.0)
    (step,) = steps_of([done, asked])
    assert (step.phase, step.ended, len(step.trace)) == (Phase.PASSED, 60.0, len(asked.trace))
    assert len(step.reasons) == 1
    assert "Ann agreed" in step.reasons[0]


def test_failure_after_a_passed_step_is_not_blamed_on_the_canary():
    assert "after the step of 50 % was passed" in why_rolled_back(steps_of(two_steps()))
