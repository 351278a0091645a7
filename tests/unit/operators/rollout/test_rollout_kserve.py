"""A whole rollout by the operators over KServe (fake API server), counted by a metrics source."""

from __future__ import annotations

from dataclasses import replace

import pytest
from airflow.sdk.exceptions import AirflowFailException
from builders import VALIDATED, plan
from fakes.remote_serving import kserve

from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS
from airflow_mlops.core.errors import ServiceUnavailableError
from airflow_mlops.core.rollout.plan import RolloutMetric
from airflow_mlops.hooks.serving import ServingHook
from airflow_mlops.operators.rollout import (
    CleanUpRolloutOperator,
    DeployCanaryOperator,
    PromoteModelOperator,
    RollbackOperator,
    SetTrafficOperator,
)
from airflow_mlops.sensors.canary import CanaryAnalysisSensor

PLAN = plan(bake_seconds=0.0, window_seconds=0.001, deadline_seconds=60.0)
COMMON = {"model": "demo", "version": "2"}


class Source:
    """Both versions answer 100 and 900 requests between any two readings; some of the canary's fail."""

    measures = frozenset({RolloutMetric.ERRORS})

    def __init__(self, errors):
        self.errors, self.refused = errors, 0

    def check(self, *, now):
        pass

    def read(self, arms, after, *, now):
        if after.until and self.refused:
            self.refused -= 1
            raise ServiceUnavailableError("prometheus does not answer")
        if not after.until:
            return replace(after, until=1.0)
        return replace(
            after,
            until=after.until + 1,
            canary_requests=after.canary_requests + 100,
            canary_errors=after.canary_errors + self.errors,
            stable_requests=after.stable_requests + 900,
        )


@pytest.fixture(params=["Knative", "Standard"])
def serving(request, world, monkeypatch):
    """Version 1 is champion by the registry; nothing serves yet."""
    for number in ("1", "2"):
        world.registry.register("demo", f"run-of-{number}", str(world.model_dir), VALIDATED)
    with kserve(request.param) as backend:
        backend.counts = None
        monkeypatch.setattr(ServingHook, "backend", lambda self: backend)
        yield backend


def start(serving, world, run, monkeypatch, errors):
    source = Source(errors)
    monkeypatch.setattr(ServingHook, "metrics", lambda self, endpoint, backend, *watched: source)
    first = DeployCanaryOperator(task_id="first", plan=PLAN, model="demo", version="1")
    state = run(first)
    promote = PromoteModelOperator(task_id="p", state=state, model="demo", version="1")
    run(promote)
    run(CleanUpRolloutOperator(task_id="c", model="demo", version="1"))
    state = run(DeployCanaryOperator(task_id="deploy", plan=PLAN, **COMMON))
    return source, run(SetTrafficOperator(task_id="shift", percent=10, state=state, **COMMON))


def analyse(state):
    return CanaryAnalysisSensor(task_id="a", model="demo", plan=PLAN, state=state, deferrable=False)


def test_good_canary_is_promoted(serving, world, run, monkeypatch):
    source, state = start(serving, world, run, monkeypatch, errors=0)
    source.refused = 3
    state = run(analyse(state))
    assert state["arrivals"]["missing"] == 3
    run(PromoteModelOperator(task_id="p", state=state, **COMMON))
    assert run(CleanUpRolloutOperator(task_id="c", **COMMON))["stable"] == "2"
    assert serving.traffic("demo").holder is None
    assert world.registry.alias("demo", CHAMPION_ALIAS) == "2"


def test_bad_canary_is_rolled_back(serving, world, run, monkeypatch):
    _, state = start(serving, world, run, monkeypatch, errors=40)
    with pytest.raises(AirflowFailException, match=r"rollback|roll_back"):
        run(analyse(state))
    traffic = run(RollbackOperator(task_id="r", **COMMON))
    assert (traffic["stable"], traffic["canary"], traffic["canary_percent"]) == ("1", None, 0)
    assert serving.traffic("demo").holder is None
    spec = serving.cluster.objects["inferenceservices", "demo"]["spec"]
    assert spec["predictor"]["model"]["storageUri"] == "s3://models/demo/1"
    assert "canary" not in spec
