"""What the files of the serving contract share."""

from __future__ import annotations

import pytest
from processes import until

from airflow_mlops.core.rollout.end import EndKind, RolloutEnd

ME, OTHER = "rollout/run-1", "rollout/run-2"
BODY = {"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}
LOCAL = pytest.param("local", marks=pytest.mark.integration)


def shape(traffic):
    return traffic.stable, traffic.canary, traffic.canary_percent


def an_end(number=1, **more):
    about = {"reason": "errors on checkout", "actor": "eve", "at": 5.0, **more}
    return RolloutEnd(id=f"{number:032x}", model="demo", kind=EndKind.STOPPED, **about)


def until_seen(condition):
    """Wait for what a back end is to report: fakes move on at each look, real ones in their own time."""
    if not any(condition() for _ in range(10)):
        until(condition)
