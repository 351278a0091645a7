from __future__ import annotations

import pytest
from builders import plan

from airflow_mlops.core.errors import InvalidPlanError
from airflow_mlops.core.rollout.freeze import Day, FreezePeriod, WeeklyFreeze
from airflow_mlops.core.rollout.plan import (
    OnInconclusive,
    RolloutMetric,
    RolloutPlan,
    Step,
    Strategy,
    require_percent,
)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"steps": ()}, "steps: empty"),
        ({"steps": (10, 5)}, r"steps\[1\]: 5 % after 10 %"),
        ({"steps": (10, 10)}, "strictly rising"),
        ({"steps": (10, Step(percent=10))}, r"steps\[1\]: 10 % after 10 %"),
        ({"steps": (0, 10)}, r"steps\[0\]: 0 %"),
        ({"steps": (10, 101)}, r"steps\[1\]: 101 %"),
        ({"steps": (10, Step(percent=150))}, r"steps\[1\]: 150 %"),
        ({"steps": (10, Step(percent=50, bake_seconds=200))}, r"steps\[1\].deadline: 100.0 s"),
        ({"steps": (10, Step(percent=50, min_requests=0))}, r"steps\[1\].min_requests: 0"),
        ({"bake_seconds": -1}, "bake"),
        ({"deadline_seconds": 5}, "deadline"),
        ({"window_seconds": 0}, "window"),
        ({"warm_up_seconds": -1}, "warm_up"),
        ({"warm_up_seconds": 100}, "deadline: 100.0 s, allowed: above warm_up"),
        ({"keep_old_seconds": -1}, "keep_old"),
        ({"min_requests": 0}, "min_requests"),
        ({"max_error_rate": 1}, "max_error_rate"),
        ({"burst": 0}, "burst: 0"),
        ({"alpha": 0}, "alpha"),
        ({"alpha": 0.6}, "alpha"),
        ({"metrics": ()}, "metrics"),
        ({"metrics": (RolloutMetric.ERRORS, RolloutMetric.ERRORS)}, "each once"),
        ({"strategy": Strategy.BLUE_GREEN}, r"\[10, 50\] of strategy blue_green, allowed: \[100\]"),
        ({"strategy": Strategy.AB}, "strategy ab, allowed: one step"),
        ({"strategy": Strategy.AB, "steps": (100,)}, "strategy ab, allowed: one step"),
        ({"strategy": Strategy.AB, "steps": (50,), "metrics": (RolloutMetric.PREDICTIONS,)}, r"metrics\[0\]"),
    ],
)
def test_plan_that_must_not_be_carried_out_is_refused_by_name(wrong, named):
    with pytest.raises(InvalidPlanError, match=named):
        plan(**wrong)


def test_plan_survives_json():
    freeze = (
        WeeklyFreeze(days=(Day.FRI,), start="16:00", timezone="Europe/Zurich"),
        FreezePeriod(start="2026-12-24T00:00+01:00", end="2026-12-27T00:00+01:00"),
    )
    rich = plan(
        steps=(5, Step(percent=50, approve=True)),
        freeze=freeze,
        metrics=(RolloutMetric.ERRORS, RolloutMetric.LATENCY),
    )
    assert RolloutPlan.from_json(rich.to_json()) == rich


def test_step_takes_from_the_plan_what_it_does_not_say():
    own = plan(steps=(10, Step(percent=50, approve=True, min_requests=7)))
    assert own.step_at(50) == Step(
        percent=50, approve=True, bake_seconds=10.0, deadline_seconds=100.0, min_requests=7
    )
    assert own.percents == (10, 50)


def test_step_that_the_plan_does_not_have_is_named():
    with pytest.raises(InvalidPlanError, match="no step of 20 %, allowed: 10, 50"):
        plan().step_at(20)


@pytest.mark.parametrize("percent", [-1, 101, 5.0, "5", None, True])
def test_share_that_is_no_whole_percent_is_refused(percent):
    with pytest.raises(InvalidPlanError, match="0 to 100"):
        require_percent(percent)


@pytest.mark.parametrize(
    ("more", "tests"),
    [
        ({}, 1),
        (
            {
                "metrics": (
                    RolloutMetric.ERRORS,
                    RolloutMetric.LATENCY,
                    RolloutMetric.QUALITY,
                    RolloutMetric.PREDICTIONS,
                )
            },
            4,
        ),
        ({"steps": (5, 25, 50, 100)}, 2),
        ({"steps": (100,), "strategy": Strategy.BLUE_GREEN}, 1),
        ({"steps": (50,), "strategy": Strategy.AB}, 2),
    ],
)
def test_alpha_is_divided_among_all_tests_that_may_blame(more, tests):
    assert RolloutPlan(**more).alpha_each == pytest.approx(0.05 / tests)


def test_words_of_python_authors_mean_what_they_name():
    worded = plan(on_inconclusive="hold", strategy="canary", metrics=("errors", "latency"))
    assert worded == plan(on_inconclusive=OnInconclusive.HOLD, metrics=("errors", RolloutMetric.LATENCY))
    assert worded.on_inconclusive is OnInconclusive.HOLD
    assert worded.metrics[0] is RolloutMetric.ERRORS


@pytest.mark.parametrize("key", ["strategy", "on_inconclusive", "metrics", "optional_metrics"])
def test_unknown_word_is_refused_by_its_key(key):
    word = ("sometimes",) if key.endswith("metrics") else "sometimes"
    with pytest.raises(InvalidPlanError, match=rf"rollout\.{key}: 'sometimes', allowed: "):
        plan(**{key: word})
