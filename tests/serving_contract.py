"""What the files of the serving contract share."""

from __future__ import annotations

import time

import pytest

from airflow_mlops.core.rollout.end import EndKind, RolloutEnd

ME, OTHER = "rollout/run-1", "rollout/run-2"
BODY = {"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}
LOCAL = pytest.param("local", marks=pytest.mark.integration)


def shape(traffic):
    return traffic.stable, traffic.canary, traffic.canary_percent


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def an_end(number=1, **more):
    about = {"reason": "errors on checkout", "actor": "eve", "at": 5.0, **more}
    return RolloutEnd(id=f"{number:032x}", model="demo", kind=EndKind.STOPPED, **about)
