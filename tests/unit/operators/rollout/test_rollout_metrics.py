"""What a plan wants to watch is looked up by the rollout's first task."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException
from builders import plan

from airflow_mlops.core.errors import InvalidConfigError, ServiceUnavailableError
from airflow_mlops.core.rollout.state import RolloutState
from airflow_mlops.hooks.serving import ServingHook
from airflow_mlops.operators.rollout import DeployCanaryOperator


def deploy():
    return DeployCanaryOperator(task_id="deploy", plan=plan(), model="m", version="2")


def shape(world):
    seen = world.serving.traffic("m")
    return seen.stable, seen.canary, seen.canary_percent


@pytest.mark.parametrize("at", ["metrics", "check"])
def test_metric_that_cannot_be_had_stops_the_rollout_before_anything_moves(champion, run, monkeypatch, at):
    def refuse(*_, **__):
        raise InvalidConfigError("rollout.metrics: 'latency' is not measured")

    asked = refuse if at == "metrics" else lambda *_: SimpleNamespace(check=refuse)
    monkeypatch.setattr(ServingHook, "metrics", asked)
    with pytest.raises(AirflowFailException, match="'latency' is not measured"):
        run(deploy())
    assert shape(champion) == ("1", None, 0)
    assert champion.serving.traffic("m").holder is None


def test_source_that_does_not_answer_yet_does_not_stop_a_rollout(champion, run, monkeypatch):
    def gone(**_):
        msg = "prometheus is restarted"
        raise ServiceUnavailableError(msg)

    monkeypatch.setattr(ServingHook, "metrics", lambda *_: SimpleNamespace(check=gone, measures=()))
    assert RolloutState.from_json(run(deploy())).version == "2"
    assert shape(champion) == ("1", "2", 0)
