"""What the files of the serving contract share."""

from __future__ import annotations

import pytest
from processes import until

ME, OTHER = "rollout/run-1", "rollout/run-2"
BODY = {"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}
LOCAL = pytest.param("local", marks=pytest.mark.integration)


def shape(traffic):
    return traffic.stable, traffic.canary, traffic.canary_percent


def until_seen(condition):
    """Wait for what a back end is to report: fakes move on at each look, real ones in their own time."""
    if not any(condition() for _ in range(10)):
        until(condition)
