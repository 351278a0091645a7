"""Only predictions count for a version; what a client did, or the gateway refused, is no error of it."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest
from local_serving import ME, ask, deployed, light_serving, model
from processes import until

from airflow_mlops.backends.metrics.protocol import Arms
from airflow_mlops.backends.serving.local.backend import LocalServing
from airflow_mlops.backends.serving.local.state import Limits

pytestmark = pytest.mark.integration
TIMEOUT = 1.5
PREDICTION = b'{"inputs": [1]}'


@pytest.fixture
def serving(tmp_path, monkeypatch):
    limits = Limits(timeout_seconds=TIMEOUT, max_body_mb=1)
    with light_serving(tmp_path / "serving", monkeypatch, limits=limits) as backend:
        yield backend


@pytest.fixture
def url(serving, tmp_path):
    """Version 1 is stable; version 2 is the canary with half of the requests, and answers 422."""
    address = deployed(serving, "m", "1", tmp_path)
    serving.deploy("m", "2", model(tmp_path / "two", status=422), holder=ME)
    serving.set_traffic("m", "2", 50, holder=ME)
    return address


def counted(serving):
    """Return requests, errors and client errors of each version."""
    versions = serving.counters("m").versions
    return {v: (c.requests, c.errors, c.client_errors) for v, c in versions.items()}


NONE_COUNTED = {"1": (0, 0, 0), "2": (0, 0, 0)}


def raw(url, data, seconds=10):
    """Send bytes and return what is answered until the connection ends, or for so long."""
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port), timeout=seconds) as connection:
        connection.sendall(data)
        answer = b""
        with contextlib.suppress(OSError):
            while not answer.endswith(b"\r\n\r\n") and (more := connection.recv(65536)):
                answer += more
        return answer


def head(length, *more, path="/invocations"):
    lines = (f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {length}", *more)
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


def test_probes_and_other_paths_count_for_no_version(serving, url):
    with httpx.Client(base_url=url) as client:
        for path in ("/ping", "/health", "/version", "/favicon.ico", "/invocations", "/gateway/health"):
            for _ in range(4):
                client.get(path)
        client.post("/invocations/x", content=PREDICTION)
        client.put("/invocations", content=PREDICTION)
    assert counted(serving) == NONE_COUNTED
    assert serving.answers("m") == {"1": [], "2": []}


def test_answers_4xx_are_client_errors_of_the_version_that_gave_them(serving, url):
    for _ in range(10):
        ask(url)
    assert counted(serving) == {"1": (5, 0, 0), "2": (5, 0, 5)}
    reading = serving.counters("m").reading(Arms(canary="2", stable="1"))
    assert (reading.canary_errors, reading.client_errors.canary_errors) == (0, 5)
    assert (reading.client_errors.canary_requests, reading.client_errors.stable_errors) == (5, 0)
    assert len(serving.answers("m")["2"]) == 5


def test_hanging_canary_is_an_error_within_the_time_out(serving, url):
    canary = psutil.Process(serving.endpoint_state("m").servers["2"].process.pid)
    canary.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            answers = [answer.status_code for answer in pool.map(ask, [url] * 8)]
        assert TIMEOUT <= time.monotonic() - began < TIMEOUT + 3
        assert sorted(answers) == [200] * 4 + [504] * 4
        assert counted(serving) == {"1": (4, 0, 0), "2": (4, 4, 0)}
        assert {each.milliseconds >= 1000 * TIMEOUT for each in serving.answers("m")["2"]} == {True}
    finally:
        canary.send_signal(signal.SIGCONT)


def test_body_that_is_too_large_is_refused_by_the_gateway_and_no_versions_error(serving, url):
    assert raw(url, head(50_000_000) + b"x" * 100_000).startswith(b"HTTP/1.1 413 ")
    with httpx.Client() as client:
        assert client.post(f"{url}/invocations", content=b"x" * 3_000_000).status_code == 413
    assert counted(serving) == NONE_COUNTED
    assert raw(url, head(900_000) + b"x" * 900_000).startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 422 "))


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        head(5, "Content-Length: 6") + b"hello",
        head(-5),
        head("5", "Transfer-Encoding: gzip") + b"hello",
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n\r\n",
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
    ],
    ids=["no HTTP", "two lengths", "negative", "length and encoding", "bad chunk", "bad header"],
)
def test_malformed_request_is_refused_by_the_gateway(serving, url, request_):
    assert raw(url, request_).startswith(b"HTTP/1.1 400 ")
    assert counted(serving) == NONE_COUNTED


def test_client_that_leaves_or_stalls_in_its_body_is_no_versions_error(serving, url):
    for body in (b"", b"x" * 100, b"x" * 100_000):
        for _ in range(4):
            raw(url, head(500_000) + body, seconds=0.05)
    until(lambda: not any(s.current for s in serving._gateway("m").stats().values()), seconds=20)
    found = counted(serving)
    assert [(errors, wrong) for _, errors, wrong in found.values()] == [(0, 0), (0, 0)]


def test_slow_clients_do_not_keep_others_out(serving, url):
    address = httpx.URL(url)
    with contextlib.ExitStack() as stack:
        for _ in range(2100):  # the gateway has 2,000 connections
            slow = stack.enter_context(socket.create_connection((address.host, address.port), timeout=10))
            slow.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\n")
        began = time.monotonic()
        answers = [ask(url) for _ in range(20)]
        assert time.monotonic() - began < 9
        assert answers[0].headers["Connection"] == "close"  # nobody keeps one of the few that are left
    assert sum(requests for requests, _, _ in counted(serving).values()) == 20


def test_limits_outlive_the_gateway_whoever_starts_it_again(serving, url):
    serving.endpoint_state("m").gateway.stop()
    assert LocalServing(serving.state_dir).revive("m") == ("gateway",)
    assert serving.endpoint_state("m").limits == Limits(timeout_seconds=TIMEOUT, max_body_mb=1)
    assert raw(url, head(1_000_001)).startswith(b"HTTP/1.1 413 ")
