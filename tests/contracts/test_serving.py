"""What every serving back end must do.

Run over memory, over real HAProxy with real model servers, over a fake API server that validates with the
real schemas of KServe and Gateway API, and over a fake of Vertex AI.
"""

from __future__ import annotations

import json
import threading
import time

import httpx
import psutil
import pytest
from fakes.remote_serving import REMOTE

from airflow_mlops.backends.serving.in_memory import InMemoryServing
from airflow_mlops.backends.serving.local import LocalServing
from airflow_mlops.core.errors import (
    EndpointBusyError,
    InvalidPlanError,
    ServiceUnavailableError,
    TrafficConflictError,
)

ME, OTHER = "rollout/run-1", "rollout/run-2"
BODY = {"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}


@pytest.fixture(scope="module")
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


@pytest.fixture(
    scope="module", params=["in_memory", pytest.param("local", marks=pytest.mark.integration), *REMOTE]
)
def serving(request, tmp_path_factory):
    if request.param in REMOTE:
        with REMOTE[request.param]() as backend:
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


def shape(traffic):
    return traffic.stable, traffic.canary, traffic.canary_percent


def test_new_version_gets_no_traffic_when_deployed(serving, endpoint):
    assert shape(serving.traffic(endpoint)) == ("1", "2", 0)


def test_same_weight_twice_changes_nothing(serving, endpoint):
    once = serving.set_traffic(endpoint, "2", 25, holder=ME)
    assert serving.set_traffic(endpoint, "2", 25, holder=ME) == once == serving.traffic(endpoint)
    assert shape(once) == ("1", "2", 25)


@pytest.mark.parametrize("percent", [-1, 101, 2.5, "5"])
def test_impossible_percent_is_refused_and_changes_nothing(serving, endpoint, percent):
    with pytest.raises(InvalidPlanError, match="allowed"):
        serving.set_traffic(endpoint, "2", percent, holder=ME)
    assert shape(serving.traffic(endpoint)) == ("1", "2", 0)


def test_second_holder_is_refused_by_name(serving, endpoint):
    with pytest.raises(EndpointBusyError, match="run-1"):
        serving.claim(endpoint, OTHER)
    with pytest.raises(EndpointBusyError, match="run-1"):
        serving.set_traffic(endpoint, "2", 5, holder=OTHER)


def test_release_by_a_stranger_changes_nothing(serving, endpoint):
    serving.release(endpoint, OTHER)
    assert serving.traffic(endpoint).holder == ME


def test_version_that_is_no_canary_gets_no_weight(serving, endpoint):
    with pytest.raises(TrafficConflictError, match="not the canary"):
        serving.set_traffic(endpoint, "1", 5, holder=ME)


def test_promote_twice_is_promote_once_and_clean_up_stops_the_old(serving, endpoint):
    serving.set_traffic(endpoint, "2", 50, holder=ME)
    once = serving.promote(endpoint, "2", holder=ME)
    assert shape(once) == ("2", None, 0)
    assert serving.promote(endpoint, "2", holder=ME) == once
    assert set(serving.counters(endpoint).versions) == {"1", "2"}
    serving.clean_up(endpoint, holder=ME)
    assert set(serving.counters(endpoint).versions) == {"2"}


def test_roll_back_twice_is_roll_back_once(serving, endpoint):
    serving.set_traffic(endpoint, "2", 50, holder=ME)
    once = serving.roll_back(endpoint, "2", holder=ME)
    assert shape(once) == ("1", None, 0)
    assert serving.roll_back(endpoint, "2", holder=ME) == once


def test_deploy_twice_is_deploy_once(serving, endpoint, model_dir):
    serving.set_traffic(endpoint, "2", 10, holder=ME)
    before = serving.counters(endpoint)
    assert shape(serving.deploy(endpoint, "2", model_dir, holder=ME)) == ("1", "2", 10)
    assert serving.counters(endpoint).generation == before.generation


class Clients(threading.Thread):
    """Sends requests without a pause until stopped; keeps version and status of each answer."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.answers, self.go = url, [], True

    def run(self):
        with httpx.Client() as client:
            while self.go:
                try:
                    answer = client.post(f"{self.url}/invocations", json=BODY, timeout=10)
                    self.answers.append((answer.headers.get("X-Model-Version"), answer.status_code))
                except httpx.HTTPError as error:
                    self.answers.append((None, type(error).__name__))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.go = False
        self.join()


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def local(serving, endpoint):
    return serving


# what follows sends real requests; the fakes answer none
only_local = pytest.mark.parametrize(
    "serving", [pytest.param("local", marks=pytest.mark.integration)], indirect=True
)


@only_local
def test_requests_split_by_weight_and_are_counted(local, endpoint):
    local.set_traffic(endpoint, "2", 10, holder=ME)
    before = local.counters(endpoint).versions
    with httpx.Client() as client:
        seen = [
            client.post(f"{local.url(endpoint)}/invocations", json=BODY).headers["X-Model-Version"]
            for _ in range(200)
        ]
    assert 18 <= seen.count("2") <= 22
    after = local.counters(endpoint).versions
    assert after["2"].requests - before["2"].requests == seen.count("2")
    assert after["1"].requests - before["1"].requests == seen.count("1")


@only_local
def test_no_client_request_fails_when_weights_change_and_versions_are_promoted(local, endpoint):
    with Clients(local.url(endpoint)) as clients:
        for percent in (5, 50, 100, 25):
            local.set_traffic(endpoint, "2", percent, holder=ME)
            seen = len(clients.answers)
            until(lambda seen=seen: len(clients.answers) > seen + 20)
        local.promote(endpoint, "2", holder=ME)
        local.clean_up(endpoint, holder=ME)
        seen = len(clients.answers)
        until(lambda: len(clients.answers) > seen + 20)
    assert {status for _, status in clients.answers} == {200}
    assert {version for version, _ in clients.answers[-10:]} == {"2"}


@only_local
def test_errors_are_charged_to_the_version_that_made_them(local, endpoint):
    local.set_traffic(endpoint, "2", 50, holder=ME)
    before = local.counters(endpoint).versions
    bad = {"dataframe_split": {"columns": ["x"], "data": [[-1.0]]}}
    answers = [httpx.post(f"{local.url(endpoint)}/invocations", json=bad) for _ in range(10)]
    assert {a.status_code for a in answers} == {500}
    malformed = httpx.post(f"{local.url(endpoint)}/invocations", json={"nonsense": 1})
    assert malformed.status_code == 400
    after = local.counters(endpoint).versions
    errors = {v: after[v].errors - before[v].errors for v in ("1", "2")}
    assert errors["1"] + errors["2"] == 10
    assert errors["2"] == [a.headers["X-Model-Version"] for a in answers].count("2")


@only_local
def test_killed_canary_is_charged_and_clients_are_served_by_the_stable_version(local, endpoint):
    local.set_traffic(endpoint, "2", 50, holder=ME)
    before = local.counters(endpoint).versions
    psutil.Process(local._file(endpoint).read().servers["2"].process.pid).kill()
    answers = [httpx.post(f"{local.url(endpoint)}/invocations", json=BODY) for _ in range(20)]
    assert [a.status_code for a in answers].count(200) >= 19
    after = local.counters(endpoint).versions
    assert after["2"].errors - before["2"].errors >= 5
    assert after["1"].errors == before["1"].errors


@only_local
def test_gateway_killed_comes_back_with_its_weights_when_claimed(local, endpoint):
    local.set_traffic(endpoint, "2", 20, holder=ME)
    before, url = local.counters(endpoint), local.url(endpoint)
    local._file(endpoint).read().gateway.stop()
    with pytest.raises(ServiceUnavailableError):
        local.counters(endpoint)
    local.claim(endpoint, ME)
    assert shape(local.traffic(endpoint)) == ("1", "2", 20)
    assert local.url(endpoint) == url
    assert local.counters(endpoint).generation != before.generation


@only_local
def test_weights_changed_by_hand_are_not_overwritten(local, endpoint):
    local.set_traffic(endpoint, "2", 10, holder=ME)
    gateway, state = local._gateway(endpoint), local._file(endpoint).read()
    gateway.set_weight(state.servers["2"].slot, 90)
    with pytest.raises(TrafficConflictError, match="somebody"):
        local.set_traffic(endpoint, "2", 25, holder=ME)
    gateway.set_weight(state.servers["2"].slot, 10)


@only_local
def test_model_that_does_not_load_leaves_nothing_behind(local, endpoint, tmp_path):
    (tmp_path / "MLmodel").write_text("flavors: {}\n")
    with pytest.raises(ServiceUnavailableError, match="ended while starting"):
        local.deploy(endpoint, "3", tmp_path, holder=ME)
    assert "3" not in local._file(endpoint).read().servers
    assert shape(local.traffic(endpoint)) == ("1", "2", 0)


@only_local
def test_requests_are_written_to_the_inference_log(local, endpoint):
    httpx.post(f"{local.url(endpoint)}/invocations", json=BODY, headers={"X-Request-Id": "flight-7"})
    found = []

    def logged():
        lines = [
            json.loads(line)
            for path in local.log_dir.glob(f"{endpoint}/*/*.jsonl")
            for line in path.read_text().splitlines()
        ]
        found[:] = [line for line in lines if line["request_id"] == "flight-7"]
        return bool(found)

    until(logged)
    assert found[0]["inputs"] == {"x": 1.0}
    assert found[0]["prediction"] == 2.0
    assert found[0]["status"] == 200
