"""Contract of serving back ends.

It runs over memory, over real HAProxy with real model servers, over a fake API server that validates with
schemas of KServe and Gateway API, over a fake of Vertex AI, as objects and over gRPC through Airflow's
hook, and over the cluster that KUBECONFIG leads to, if it is set.
"""

from __future__ import annotations

import psutil
import pytest
from fakes.cluster import CLUSTER
from fakes.remote_serving import REMOTE
from serving_contract import LOCAL, ME

from airflow_mlops.backends.serving.in_memory import InMemoryServing
from airflow_mlops.backends.serving.local.backend import LocalServing


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory):
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    class Doubler(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            if (model_input["x"] < 0).any():
                raise ValueError("negative")
            return model_input["x"] * 2

    folder = tmp_path_factory.mktemp("model") / "doubler"
    signature = ModelSignature(Schema([ColSpec("double", "x")]), Schema([ColSpec("double")]))
    mlflow.pyfunc.save_model(folder, python_model=Doubler(), signature=signature, pip_requirements=["mlflow"])
    return folder


@pytest.fixture(scope="session", params=["in_memory", LOCAL, *REMOTE, *CLUSTER])
def serving(request, tmp_path_factory):
    elsewhere = {**REMOTE, **CLUSTER}
    if request.param in elsewhere:
        with elsewhere[request.param]() as backend:
            yield backend
        return
    if request.param == "in_memory":
        yield InMemoryServing()
        return
    state_dir = tmp_path_factory.mktemp("serving")
    backend = LocalServing(state_dir)
    yield backend
    backend.stop_all()
    left = [
        p for p in psutil.process_iter(["cmdline"]) if str(state_dir) in " ".join(p.info["cmdline"] or ())
    ]
    assert left == []


@pytest.fixture
def endpoint(serving, model_dir):
    """An endpoint with version 1 stable and version 2 as canary at 0 %, held by ME."""
    serving.claim("demo", ME)
    serving.deploy("demo", "1", model_dir, holder=ME)
    serving.promote("demo", "1", holder=ME)
    serving.clean_up("demo", holder=ME)
    serving.deploy("demo", "2", model_dir, holder=ME)
    serving.set_traffic("demo", "2", 0, holder=ME)
    yield "demo"
    serving.claim("demo", ME)
    serving.deploy("demo", "1", model_dir, holder=ME)
    serving.promote("demo", "1", holder=ME)
    serving.roll_back("demo", "2", holder=ME)
    serving.release("demo", ME)
