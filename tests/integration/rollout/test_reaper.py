"""A real gateway, a canary with traffic, and nobody who watches it any more."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import httpx
import mlflow.pyfunc
import pytest
from builders import plan
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, Schema

from airflow_mlops.backends.serving.local.backend import LocalServing
from airflow_mlops.backends.serving.reaper import reap
from airflow_mlops.cli import main
from airflow_mlops.core.rollout.counters import Reading
from airflow_mlops.core.rollout.machine import begin, begin_step
from airflow_mlops.core.rollout.state import Phase
from airflow_mlops.observe import analyse_window

pytestmark = pytest.mark.integration
ME = "m__rollout/run-1"
BODY = {"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}


@pytest.fixture
def serving(tmp_path):
    class Doubler(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return model_input["x"] * 2

    signature = ModelSignature(Schema([ColSpec("double", "x")]), Schema([ColSpec("double")]))
    mlflow.pyfunc.save_model(
        tmp_path / "model", python_model=Doubler(), signature=signature, pip_requirements=["mlflow"]
    )
    backend = LocalServing(tmp_path / "serving")
    try:
        backend.claim("m", ME)
        backend.deploy("m", "1", tmp_path / "model", holder=ME)
        backend.promote("m", "1", holder=ME)
        backend.deploy("m", "2", tmp_path / "model", holder=ME)
        backend.set_traffic("m", "2", 50, holder=ME)
        yield backend
    finally:
        backend.stop_all()


def answers(serving, count=20):
    with httpx.Client(timeout=20) as client:
        sent = [client.post(f"{serving.url('m')}/invocations", json=BODY) for _ in range(count)]
    return Counter((answer.headers["X-Model-Version"], answer.status_code) for answer in sent)


def test_canary_whose_lease_ran_out_gets_no_more_requests_and_none_fails(serving):
    assert answers(serving) == {("1", 200): 10, ("2", 200): 10}
    now = time.time()
    serving.take_lease("m", ME, now=now, seconds=1)
    assert reap(serving, now=now + 5) == []
    assert [found.endpoint for found in reap(serving, now=now + 6)] == ["m"]
    assert answers(serving) == {("1", 200): 20}
    seen = serving.traffic("m")
    assert (seen.stable, seen.canary, seen.canary_percent, seen.holder) == ("1", "2", 0, None)


def test_airflow_that_is_stopped_for_longer_than_the_lease_leaves_the_canary_at_0(serving, capsys):
    """The rollout looks, Airflow stops, the reaper runs without it, and the rollout comes back too late."""
    its_plan = plan(steps=(10, 50), lease_seconds=60.0, window_seconds=1.0)
    began = time.time() - 100.0
    lease = serving.take_lease("m", ME, now=began, seconds=60.0)
    state = replace(begin_step(begin(its_plan, "2", "1"), 50, Reading(), now=began), lease=lease)
    state = analyse_window(serving, "m", its_plan, state, now=began + 20.0)
    assert state.is_open
    assert main(["reap", "--state-dir", str(serving.state_dir)]) == 0
    assert capsys.readouterr().out == f"m: canary at 0 %, lease of {ME} expired\n"
    assert answers(serving) == {("1", 200): 20}
    late = analyse_window(serving, "m", its_plan, state, now=time.time())
    assert (late.phase, "ran out" in late.reasons[0]) == (Phase.ROLLED_BACK, True)
    assert serving.traffic("m").canary_percent == 0
