"""What dies behind a real gateway, what that costs, and who brings it back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait

import httpx
import mlflow.pyfunc
import psutil
import pytest
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, Schema
from processes import family, kill_now, until

from airflow_mlops.backends.serving.local.backend import LocalServing
from airflow_mlops.cli import main
from airflow_mlops.core.errors import TrafficConflictError

pytestmark = pytest.mark.integration
ME = "m__rollout/run-1"
BODY = {"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    class Doubler(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return model_input["x"] * 2

    folder = tmp_path_factory.mktemp("model") / "model"
    signature = ModelSignature(Schema([ColSpec("double", "x")]), Schema([ColSpec("double")]))
    mlflow.pyfunc.save_model(folder, python_model=Doubler(), signature=signature, pip_requirements=["mlflow"])
    return folder


@pytest.fixture
def serving(tmp_path, model):
    """Version 1 serves with two processes, version 2 is the canary at 20 %; the rollout holds it."""
    backend = LocalServing(tmp_path / "serving", workers=2)
    try:
        backend.claim("m", ME)
        backend.deploy("m", "1", model, holder=ME)
        backend.promote("m", "1", holder=ME)
        backend.deploy("m", "2", model, holder=ME)
        backend.set_traffic("m", "2", 20, holder=ME)
        yield backend
    finally:
        backend.stop_all()


def processes(serving, version):
    return family(serving.endpoint_state("m").servers[version].process.pid)


def ask(serving, count=30):
    with httpx.Client(timeout=20) as client:
        url = f"{serving.url('m')}/invocations"
        return [client.post(url, json=BODY).status_code for _ in range(count)]


def shape(serving):
    seen = serving.traffic("m")
    return seen.stable, seen.canary, seen.canary_percent


def test_death_of_a_sibling_fails_no_later_request_and_it_is_replaced(serving):
    parent, *workers = processes(serving, "1")
    assert len(workers) == 2
    kill_now(workers[0])
    assert set(ask(serving)) == {200}
    until(lambda: len(processes(serving, "1")) >= 3, "another sibling", 10)
    kill_now(parent)
    assert psutil.wait_procs(workers[1:], timeout=15)[1] == []


def test_reaper_brings_back_gateway_and_stable_version_but_no_canary(serving, capsys):
    state = serving.endpoint_state("m")
    kill_now(psutil.Process(state.gateway.pid), *processes(serving, "1"), *processes(serving, "2"))
    assert main(["reap", "--state-dir", str(serving.state_dir), "--revive"]) == 0
    assert capsys.readouterr().out == "m: restarted: gateway, version 1\n"
    assert shape(serving) == ("1", "2", 20)
    assert set(ask(serving)) == {200}
    assert not serving.endpoint_state("m").servers["2"].process.is_alive()
    assert main(["reap", "--state-dir", str(serving.state_dir), "--revive"]) == 0
    assert capsys.readouterr().out == ""


def test_version_whose_server_died_gets_no_more_traffic(serving):
    kill_now(*processes(serving, "2"))
    with pytest.raises(TrafficConflictError, match="server of version 2 died"):
        serving.set_traffic("m", "2", 50, holder=ME)
    with pytest.raises(TrafficConflictError, match="server of version 2 died"):
        serving.promote("m", "2", holder=ME)
    assert shape(serving) == ("1", "2", 20)
    serving.roll_back("m", "2", holder=ME)
    assert shape(serving) == ("1", None, 0)


def test_version_that_traffic_goes_back_to_is_started_again_when_it_died(serving):
    serving.promote("m", "2", holder=ME)
    kill_now(*processes(serving, "1"))
    serving.promote("m", "1", holder=ME)
    assert shape(serving) == ("1", None, 0)
    assert set(ask(serving)) == {200}


def test_gateway_that_dies_while_a_version_starts_is_back_before_that_is_up(serving, model, monkeypatch):
    gateway = psutil.Process(serving.endpoint_state("m").gateway.pid)
    killed, asked, get = [], [], httpx.get

    def looked(url, **options):
        if not killed:
            killed.append(kill_now(gateway))
        else:
            asked.extend(ask(serving, 1))
        return get(url, **options)

    monkeypatch.setattr(httpx, "get", looked)
    serving.deploy("m", "3", model, holder=ME)
    assert set(asked) == {200}
    assert serving.traffic("m").stable == "1"


def test_request_under_way_on_a_killed_server_fails_and_says_where_it_was(serving):
    stable = processes(serving, "1")
    for process in stable:
        process.suspend()
    with ThreadPoolExecutor(4) as clients:
        under_way = [
            clients.submit(httpx.post, f"{serving.url('m')}/invocations", json=BODY, timeout=20)
            for _ in range(4)
        ]
        done, _ = wait(under_way, timeout=2)
        kill_now(*stable)
    lost = [answer.result() for answer in under_way if answer not in done]
    assert len(lost) >= 3
    slot = serving.endpoint_state("m").servers["1"].slot
    assert {(answer.status_code, answer.headers["X-Gateway-Server"]) for answer in lost} == {(502, slot)}
