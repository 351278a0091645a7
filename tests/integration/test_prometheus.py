"""A real Prometheus scrapes a small exporter; what a rollout reads is what really was counted."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from builders import plan

from airflow_mlops.backends.metrics.prometheus import PrometheusMetrics, PrometheusSelectors
from airflow_mlops.backends.metrics.protocol import Arms
from airflow_mlops.core.rollout.evidence import Decision
from airflow_mlops.core.rollout.ledger import Reading
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
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
        "scrape_configs: [{job_name: model, static_configs: "
        f"[{{targets: ['127.0.0.1:{exporter.server_address[1]}']}}]}}]\n"
    )
    command = [
        BINARY,
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(lambda: samples(address) > 2, "the first scrapes")
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


def wait_for(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


def scraped(address):
    """Wait until two more scrapes are stored."""
    before = samples(address)
    wait_for(lambda: samples(address) >= before + 3, "a scrape")


def counts(reading):
    return (
        reading.canary_requests,
        reading.canary_errors,
        reading.stable_requests,
        reading.stable_errors,
    )


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
    assert (state.phase, state.decision) == (Phase.ROLLED_BACK, Decision.ROLL_BACK)
    exporter.shutdown()
    exporter.server_close()
    wait_for(lambda: source.read(ARMS, healthy.last, now=time.time()) is None, "data to be missing")
    silent = advance(bars, healthy, source.read(ARMS, healthy.last, now=time.time()), now=1001.0)
    assert silent.decision is Decision.INCONCLUSIVE
    assert "nothing was measured" in silent.reasons[0]
