"""Each prediction counts once, and one whose answer stalls or breaks, whenever it does, is an error."""

from __future__ import annotations

import socket
from collections import Counter

import httpx
import pytest
from local_serving import ME, deployed, light_serving, model
from processes import until

from airflow_mlops.backends.serving.local.state import Limits

pytestmark = pytest.mark.integration
TIMEOUT = 1.0
BEFORE_THE_HEAD = ("closes", "resets", "is no HTTP")
AFTER_THE_HEAD = ("cut off", "cut chunk", "stalls")


@pytest.fixture
def serving(tmp_path, monkeypatch):
    limits = Limits(timeout_seconds=TIMEOUT, max_body_mb=1)
    with light_serving(tmp_path / "serving", monkeypatch, limits=limits) as backend:
        yield backend


def canary(serving, folder, percent=50, **more):
    """Bring up version 1, stable, and version 2 with a share of the requests; return the address."""
    address = deployed(serving, "m", "1", folder)
    serving.deploy("m", "2", model(folder / "two", **more), holder=ME)
    serving.set_traffic("m", "2", percent, holder=ME)
    return address


def counted(serving):
    versions = serving.counters("m").versions
    return {v: (c.requests, c.errors) for v, c in versions.items()}


def asked(url, count, *, kept=True):
    """Return the status of each answer, or that it broke; over one connection while it is kept."""
    answers = []
    with httpx.Client(timeout=20, headers={} if kept else {"Connection": "close"}) as client:
        for _ in range(count):
            try:
                answers.append(client.post(f"{url}/invocations", json={"inputs": [1]}).status_code)
            except httpx.RemoteProtocolError:
                answers.append("broken")
    return answers


@pytest.mark.parametrize("kept", [False, True], ids=["new connections", "kept connection"])
@pytest.mark.parametrize("breaks", [*BEFORE_THE_HEAD, *AFTER_THE_HEAD])
def test_each_prediction_that_breaks_is_one_request_and_one_error(serving, tmp_path, breaks, kept):
    url = canary(serving, tmp_path, breaks=breaks)
    failed = "broken" if breaks in AFTER_THE_HEAD else 502
    assert Counter(asked(url, 8, kept=kept)) == {200: 4, failed: 4}
    assert counted(serving) == {"1": (4, 0), "2": (4, 4)}
    slow = [each.milliseconds >= 1000 * TIMEOUT for each in serving.answers("m")["2"]]
    assert slow == ([True] * 4 if breaks == "stalls" else [])


@pytest.mark.parametrize("breaks", ["closes", "cut off"])
def test_alone_each_prediction_counts_once_too(serving, tmp_path, breaks):
    url = canary(serving, tmp_path, percent=100, breaks=breaks)
    asked(url, 10)
    assert counted(serving) == {"1": (0, 0), "2": (10, 10)}


@pytest.mark.parametrize(("percent", "failed"), [(50, 0), (100, 12)], ids=["another answers", "alone"])
def test_connection_that_is_refused_is_one_error_of_each_request(serving, tmp_path, percent, failed):
    url = canary(serving, tmp_path, percent=percent)
    gateway, server = serving._gateway("m"), serving.endpoint_state("m").servers["2"]
    server.process.stop()
    assert Counter(asked(url, 12, kept=False)) == Counter({503: failed, 200: 12 - failed})
    found = gateway.stats()[server.slot]
    assert found.requests == found.errors
    assert 6 <= found.errors <= 12


def test_client_that_does_not_wait_for_a_hanging_version_does_not_hide_it(serving, tmp_path):
    url = canary(serving, tmp_path, percent=100, breaks="hangs")
    for _ in range(4):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{url}/invocations", json={"inputs": [1]}, timeout=0.1)
    until(lambda: counted(serving)["2"] == (4, 4), "time-outs of the gateway")


def test_announced_answer_counts_once(serving, tmp_path):
    url = canary(serving, tmp_path, breaks="announced")
    assert asked(url, 8) == [200] * 8
    assert counted(serving) == {"1": (4, 0), "2": (4, 0)}


def test_client_that_leaves_in_the_middle_of_an_answer_is_no_versions_error(serving, tmp_path):
    address = httpx.URL(canary(serving, tmp_path, bytes=20_000_000))
    for _ in range(4):
        with socket.create_connection((address.host, address.port), timeout=10) as client:
            client.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
            assert client.recv(100)
    until(lambda: not any(s.current for s in serving._gateway("m").stats().values()))
    assert counted(serving) == {"1": (2, 0), "2": (2, 0)}
