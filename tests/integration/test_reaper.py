"""A real gateway, a canary with traffic, and nobody who watches it any more."""

from __future__ import annotations

import time
from collections import Counter

import httpx
import mlflow.pyfunc
import pytest
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, Schema

from airflow_mlops.backends.serving.leases import reap, take_lease
from airflow_mlops.backends.serving.local import LocalServing

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
    take_lease(serving, "m", ME, now=now, seconds=1)
    assert reap(serving, now=now + 5) == []
    assert [found.endpoint for found in reap(serving, now=now + 6)] == ["m"]
    assert answers(serving) == {("1", 200): 20}
    seen = serving.traffic("m")
    assert (seen.stable, seen.canary, seen.canary_percent, seen.holder) == ("1", "2", 0, ME)
