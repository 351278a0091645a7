"""A real Prometheus scrapes a small exporter; what a rollout reads is what really was counted."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from builders import plan
from processes import until

from airflow_mlops.backends.metrics.prometheus import PrometheusMetrics, PrometheusSelectors
from airflow_mlops.backends.metrics.protocol import Arms
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.rollout.counters import Reading
from airflow_mlops.core.rollout.evidence.share import StepDecision
from airflow_mlops.core.rollout.machine import advance, begin, begin_step
from airflow_mlops.core.rollout.state import Phase

BINARY = shutil.which("prometheus")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(BINARY is None, reason="no prometheus on this machine (apt-get install prometheus)"),
]
ARMS = Arms(canary="2", stable="1")
SELECTORS = PrometheusSelectors(
    requests='asked_total{version="$version"}', errors='asked_total{version="$version",code="500"}'
)


class Exporter(ThreadingHTTPServer):
    """Counters of two versions, as text; they may start again from zero."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Metrics)
        self.counts = {("1", "200"): 1000, ("1", "500"): 10, ("2", "200"): 1}
        self.took = {(v, le): 0 for v in "12" for le in ("0.1", "0.5", "+Inf")}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def count(self, version, code, times):
        self.counts[version, code] = self.counts.get((version, code), 0) + times

    def restart(self, version):
        for code in ("200", "500"):
            self.counts.pop((version, code), None)
        self.counts[version, "200"] = 0


class Metrics(BaseHTTPRequestHandler):
    def do_GET(self):
        lines = [f'asked_total{{version="{v}",code="{c}"}} {n}' for (v, c), n in self.server.counts.items()]
        lines += ["# TYPE took_seconds histogram"] + [
            f'took_seconds_bucket{{version="{v}",le="{le}"}} {n}' for (v, le), n in self.server.took.items()
        ]
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(("# TYPE asked_total counter\n" + "\n".join(lines) + "\n").encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def exporter():
    server = Exporter()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def url(exporter, tmp_path):
    target = f"static_configs: [{{targets: ['127.0.0.1:{exporter.server_address[1]}']}}]"
    with prometheus(tmp_path, target) as address:
        yield address


@contextmanager
def prometheus(folder, targets):
    """Run a server that scrapes every 200 ms; yield its address."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
        f"scrape_configs: [{{job_name: model, {targets}}}]\n"
    )
    command = [
        BINARY,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            until(lambda: samples(address) > 2, "the first scrapes")
            yield address
        finally:
            process.terminate()
            process.wait(timeout=20)


def samples(address):
    try:
        query = {"query": 'count_over_time(asked_total{version="2",code="200"}[1m])'}
        found = httpx.get(f"{address}/api/v1/query", params=query, timeout=5).json()["data"]["result"]
    except (httpx.HTTPError, ValueError):
        return 0
    return int(found[0]["value"][1]) if found else 0


def scraped(address):
    """Wait until two more scrapes are stored."""
    before = samples(address)
    until(lambda: samples(address) >= before + 3, "a scrape")


def counts(of):
    return of.canary_requests, of.canary_errors, of.stable_requests, of.stable_errors


def test_every_request_is_read_once_through_restarts_and_a_counter_that_appears(exporter, url):
    source = PrometheusMetrics(url, SELECTORS, settle_seconds=0.3)
    last = source.read(ARMS, Reading(), now=time.time())
    assert counts(last) == (0, 0, 0, 0)
    scraped(url)
    for version, code, times in (("1", "200", 90), ("2", "200", 10), ("2", "500", 4)):  # the first 500 ever
        exporter.count(version, code, times)
    scraped(url)
    exporter.restart("2")
    scraped(url)
    exporter.count("2", "200", 5)
    exporter.count("1", "500", 1)
    scraped(url)
    for _ in range(5):  # small windows in between lose nothing
        last = source.read(ARMS, last, now=time.time())
        time.sleep(0.15)
    scraped(url)
    last = source.read(ARMS, last, now=time.time())
    assert counts(last) == (10 + 4 + 5, 4, 90 + 1, 1)


def test_failing_canary_is_rolled_back_and_a_silent_exporter_is_no_success(exporter, url):
    source = PrometheusMetrics(url, SELECTORS, settle_seconds=0.3, max_age_seconds=2.0)
    bars = plan(bake_seconds=0.0, deadline_seconds=1000.0)
    reading = source.read(ARMS, Reading(), now=time.time())
    state = begin_step(begin(bars, "2", "1"), 10, reading, now=0.0)
    healthy = state
    while state.is_open and len(state.trace) < 20:
        exporter.count("1", "200", 90)
        exporter.count("2", "500", 5)
        scraped(url)
        state = advance(bars, state, source.read(ARMS, state.last, now=time.time()), now=1.0)
    assert (state.phase, state.decision) == (Phase.ROLLED_BACK, StepDecision.ROLL_BACK)
    exporter.shutdown()
    exporter.server_close()
    until(lambda: source.read(ARMS, healthy.last, now=time.time()) is None, "data to be missing")
    silent = advance(bars, healthy, source.read(ARMS, healthy.last, now=time.time()), now=1001.0)
    assert silent.decision is StepDecision.INCONCLUSIVE
    assert "nothing was measured" in silent.reasons[0]


FAST = replace(SELECTORS, fast='took_seconds_bucket{version="$version",le="0.5"}')


def test_slow_answers_are_those_outside_the_bucket(exporter, url):
    source = PrometheusMetrics(url, FAST, settle_seconds=0.3)
    source.check(now=time.time())
    last = source.read(ARMS, Reading(), now=time.time())
    exporter.took |= {("2", "0.5"): 6, ("2", "+Inf"): 10, ("1", "0.5"): 89, ("1", "+Inf"): 90}
    scraped(url)
    scraped(url)
    assert counts(source.read(ARMS, last, now=time.time()).latency) == (10, 4, 90, 1)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"requests": 'askd_total{version="$version"}'},
         "prometheus.requests: {url} has no metric 'askd_total' now; did you mean 'asked_total'?"),
        ({"errors": 'failed{version="$version"}'}, "prometheus.errors: {url} has no metric 'failed' now"),
        ({"fast": 'took_seconds_bucket{version="$version",le="0.3"}'},
         "prometheus.fast: no bucket le='0.3' on took_seconds_bucket, allowed: 0.1, 0.5, +Inf"),
    ],
    ids=["misspelt", "unknown", "no such bucket"],
)  # fmt: skip
def test_what_prometheus_does_not_have_is_named_before_traffic_moves(url, wrong, said):
    with pytest.raises(InvalidConfigError) as refused:
        PrometheusMetrics(url, replace(FAST, **wrong)).check(now=time.time())
    assert str(refused.value) == said.format(url=url)


def test_second_replica_is_added_and_one_that_was_up_before_brings_no_past(exporter, tmp_path):
    other = Exporter()
    other.counts = {("2", "200"): 70_000}
    targets = [f"127.0.0.1:{exporter.server_address[1]}", f"127.0.0.1:{other.server_address[1]}"]
    found = tmp_path / "targets.json"
    found.write_text(json.dumps([{"targets": targets[:1]}]))
    with prometheus(tmp_path, f"file_sd_configs: [{{files: ['{found}']}}]") as url:
        source = PrometheusMetrics(url, SELECTORS, settle_seconds=0.3)
        last = source.read(ARMS, Reading(), now=time.time())
        scraped(url)
        found.write_text(json.dumps([{"targets": targets}]))
        until(lambda: len(replicas(url)) == 2, "the second replica")
        last = source.read(ARMS, last, now=time.time())
        exporter.count("2", "200", 3)
        other.count("2", "200", 4)
        scraped(url)
        scraped(url)
        last = source.read(ARMS, last, now=time.time())
    other.shutdown()
    other.server_close()
    assert counts(last) == (7, 0, 0, 0)


def replicas(address):
    query = {"query": 'asked_total{version="2",code="200"}'}
    return httpx.get(f"{address}/api/v1/query", params=query, timeout=5).json()["data"]["result"]
