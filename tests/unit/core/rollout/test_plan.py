from __future__ import annotations

import pytest
from builders import plan

from airflow_mlops.core.errors import InvalidPlanError
from airflow_mlops.core.rollout.plan import RolloutPlan, require_percent


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"steps": ()}, "steps: empty"),
        ({"steps": (10, 5)}, r"steps\[1\]: 5 % after 10 %"),
        ({"steps": (10, 10)}, "strictly rising"),
        ({"steps": (0, 10)}, r"steps\[0\]: 0 %"),
        ({"steps": (10, 101)}, r"steps\[1\]: 101 %"),
        ({"bake_seconds": -1}, "bake"),
        ({"deadline_seconds": 5}, "deadline"),
        ({"window_seconds": 0}, "window"),
        ({"min_requests": 0}, "min_requests"),
        ({"max_error_rate": 1}, "max_error_rate"),
        ({"alpha": 0}, "alpha"),
        ({"alpha": 0.6}, "alpha"),
    ],
)
def test_plan_that_must_not_be_carried_out_is_refused_by_name(wrong, named):
    with pytest.raises(InvalidPlanError, match=named):
        plan(**wrong)


def test_plan_survives_json():
    assert RolloutPlan.from_json(plan().to_json()) == plan()


@pytest.mark.parametrize("percent", [-1, 101, 5.0, "5", None, True])
def test_share_that_is_no_whole_percent_is_refused(percent):
    with pytest.raises(InvalidPlanError, match="0 to 100"):
        require_percent(percent)
