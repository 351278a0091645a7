"""Behaviour seen by real clients of a real gateway; the fakes answer no requests."""

from __future__ import annotations

import json
import threading

import httpx
import psutil
import pytest
from processes import until
from serving_contract import BODY, LOCAL, ME, shape

from airflow_mlops.backends.metrics.inference_log import read_inference_log
from airflow_mlops.core.errors import ServiceUnavailableError, TrafficConflictError

only_local = pytest.mark.parametrize("serving", [LOCAL], indirect=True)


class Clients(threading.Thread):
    """Sends requests without pauses until stopped; records version and status of each answer."""

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


@pytest.fixture
def local(serving, endpoint):
    return serving


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
    psutil.Process(local.endpoint_state(endpoint).servers["2"].process.pid).kill()
    answers = [httpx.post(f"{local.url(endpoint)}/invocations", json=BODY) for _ in range(20)]
    assert [a.status_code for a in answers].count(200) >= 19
    after = local.counters(endpoint).versions
    assert after["2"].errors - before["2"].errors >= 5
    assert after["1"].errors == before["1"].errors


@only_local
def test_gateway_killed_comes_back_with_its_weights_when_claimed(local, endpoint):
    local.set_traffic(endpoint, "2", 20, holder=ME)
    before, url = local.counters(endpoint), local.url(endpoint)
    local.endpoint_state(endpoint).gateway.stop()
    with pytest.raises(ServiceUnavailableError):
        local.counters(endpoint)
    local.claim(endpoint, ME)
    assert shape(local.traffic(endpoint)) == ("1", "2", 20)
    assert local.url(endpoint) == url
    assert local.counters(endpoint).generation != before.generation


@only_local
def test_weights_changed_by_hand_are_not_overwritten(local, endpoint):
    local.set_traffic(endpoint, "2", 10, holder=ME)
    gateway, state = local._gateway(endpoint), local.endpoint_state(endpoint)
    gateway.set_weight(state.servers["2"].slot, 90)
    with pytest.raises(TrafficConflictError, match=r"last written was 10 %; .*nothing was overwritten"):
        local.set_traffic(endpoint, "2", 25, holder=ME)
    gateway.set_weight(state.servers["2"].slot, 10)


@only_local
def test_model_that_does_not_load_leaves_nothing_behind(local, endpoint, tmp_path):
    (tmp_path / "MLmodel").write_text("flavors: {}\n")
    with pytest.raises(ServiceUnavailableError, match="ended while starting"):
        local.deploy(endpoint, "3", tmp_path, holder=ME)
    assert "3" not in local.endpoint_state(endpoint).servers
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


FORMS = (
    {"inputs": {"x": [1.0, 2.0]}},
    {"instances": [{"x": 1.0}, {"x": 2.0}]},
    {"dataframe_records": [{"x": 1.0}, {"x": 2.0}]},
    {"dataframe_split": {"columns": ["x"], "data": [[1.0], [2.0]]}},
)


@only_local
def test_every_row_of_every_form_of_a_request_is_logged(local, endpoint):
    for body in FORMS:
        headers = {"X-Request-Id": next(iter(body))}
        answer = httpx.post(f"{local.url(endpoint)}/invocations", json=body, headers=headers)
        assert len(answer.json()["predictions"]) == 2
    names = [f"{next(iter(body))}{row}" for body in FORMS for row in ("", "/1")]

    def logged():
        rows = read_inference_log(local.log_dir, endpoint, request_ids=names).to_pylist()
        found = {row["request_id"]: (row["inputs"], row["prediction"]) for row in rows}
        return [found.get(name) for name in names] == [({"x": 1.0}, 2.0), ({"x": 2.0}, 4.0)] * len(FORMS)

    until(logged)
