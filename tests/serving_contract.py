"""What the files of the serving contract share."""

from __future__ import annotations

import time

import pytest

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
