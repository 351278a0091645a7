"""Local endpoints side by side, after a reboot, and while requests are under way: real gateways."""

from __future__ import annotations

import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import psutil
import pytest
from local_serving import ME, Clients, ask, changed, deployed, light_serving, model
from processes import processes_of, until

from airflow_mlops.backends.serving.local import model_process
from airflow_mlops.backends.serving.local.backend import LocalServing
from airflow_mlops.backends.serving.local.gateway import Gateway
from airflow_mlops.core.errors import (
    EndpointMissingError,
    InvalidConfigError,
    InvalidRecordError,
    LeaseLostError,
    ModelReplacedError,
    ServiceUnavailableError,
)

pytestmark = pytest.mark.integration


def test_endpoints_deployed_at_once_do_not_take_each_others_ports(serving, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        urls = list(pool.map(lambda n: deployed(serving, f"e{n}", str(n), tmp_path), range(4)))
    assert len(set(urls)) == 4
    assert [ask(url).headers["X-Model-Version"] for url in urls] == ["0", "1", "2", "3"]


def test_port_of_another_gateway_is_refused_not_shared(serving, tmp_path, monkeypatch):
    port = httpx.URL(deployed(serving, "m", "1", tmp_path)).port
    with light_serving(tmp_path / "other", monkeypatch, ports={"m": port}) as other:
        other.claim("m", ME)
        with pytest.raises(InvalidConfigError, match=f"port {port} is taken; choose another"):
            other.deploy("m", "9", model(tmp_path / "nine"), holder=ME)
        assert processes_of(other.state_dir) == []
    assert ask(serving.url("m")).headers["X-Model-Version"] == "1"


class Stranger(BaseHTTPRequestHandler):
    """Answers whoever comes, and remembers it."""

    def do_POST(self):
        self.server.asked += 1
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def stranger():
    """Take a port and answer on it."""
    servers = []

    def start(port):
        server = ThreadingHTTPServer(("127.0.0.1", port), Stranger)
        server.asked = 0
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def bystander():
    """A process that is not ours."""
    process = subprocess.Popen(["/bin/sleep", "600"])
    yield psutil.Process(process.pid)
    process.kill()
    process.wait()


def reboot(serving, endpoint, pid):
    """End every process; their pids now belong to another one. Return the state from before."""
    before = serving.endpoint_state(endpoint)
    for process in processes_of(serving.state_dir):
        process.kill()
    until(lambda: not processes_of(serving.state_dir))
    with changed(serving, endpoint) as state:
        state.gateway = replace(before.gateway, pid=pid)
        for server in state.servers.values():
            server.process = replace(server.process, pid=pid)
    return before


def test_endpoint_comes_back_after_a_reboot_and_nothing_of_others_is_touched(
    serving, tmp_path, stranger, bystander
):
    deployed(serving, "m", "1", tmp_path)
    serving.deploy("m", "2", model(tmp_path / "two"), holder=ME)
    serving.set_traffic("m", "2", 50, holder=ME)
    before = reboot(serving, "m", bystander.pid)
    ports = [before.port, *(server.port for server in before.servers.values())]
    strangers = [stranger(port) for port in ports]
    assert serving.revive("m") == ("gateway", "version 1")
    answers = [ask(serving.url("m")) for _ in range(10)]
    assert {(a.status_code, a.headers.get("X-Model-Version")) for a in answers} == {(200, "1")}
    assert [each.asked for each in strangers] == [0, 0, 0]
    assert bystander.is_running()
    assert bystander.status() == psutil.STATUS_SLEEPING
    canary = serving.counters("m").versions["2"]
    assert canary.errors == canary.requests > 0  # the dead canary is charged
    assert serving.deploy("m", "2", tmp_path / "two", holder=ME).canary_percent == 0
    assert serving.set_traffic("m", "2", 20, holder=ME).canary_percent == 20
    serving.stop_all()
    assert bystander.is_running()


def test_port_that_clients_were_told_is_named_when_it_is_taken_after_a_reboot(
    serving, tmp_path, stranger, bystander
):
    deployed(serving, "m", "1", tmp_path)
    before = reboot(serving, "m", bystander.pid)
    stranger(before.port)
    pinned = LocalServing(serving.state_dir, ports={"m": before.port})
    with pytest.raises(InvalidConfigError, match=f"port {before.port} is taken"):
        pinned.claim("m", ME)
    assert processes_of(serving.state_dir) == []
    assert bystander.is_running()


def test_canary_that_never_gets_ready_is_named_and_nothing_of_it_is_left(serving, tmp_path, monkeypatch):
    deployed(serving, "m", "1", tmp_path)
    monkeypatch.setattr(model_process, "_HEALTHY_SECONDS", 1.0)
    with pytest.raises(ServiceUnavailableError) as refused:
        serving.deploy("m", "2", model(tmp_path / "two", ping=503), holder=ME)
    assert str(refused.value) == "model server of version 2: not healthy after 1 s: "
    assert [p.info["cmdline"] for p in processes_of(serving.state_dir / "m" / "versions" / "2")] == []
    assert serving.traffic("m").canary is None
    assert ask(serving.url("m")).headers["X-Model-Version"] == "1"


def test_model_made_again_under_the_same_number_is_not_served_under_the_old_ones_name(serving, tmp_path):
    url = deployed(serving, "m", "1", tmp_path)
    serving.deploy("m", "2", model(tmp_path / "two"), holder=ME)
    again = model(tmp_path / "again", (3, 4))
    with pytest.raises(ModelReplacedError, match="m: version 1 is another model"):
        serving.deploy("m", "1", again, holder=ME)
    before = serving.endpoint_state("m").servers["2"]
    assert serving.deploy("m", "2", again, holder=ME).canary_percent == 0  # without requests: started anew
    fresh = serving.endpoint_state("m").servers["2"]
    assert (fresh.process != before.process, fresh.identity != before.identity) == (True, True)
    serving.set_traffic("m", "2", 50, holder=ME)
    with pytest.raises(ModelReplacedError, match="m: version 2 is another model"):
        serving.deploy("m", "2", tmp_path / "two", holder=ME)
    assert {ask(url).headers["X-Model-Version"] for _ in range(4)} == {"1", "2"}


def test_identity_that_an_older_release_did_not_record_is_that_of_the_kept_model(serving, tmp_path):
    deployed(serving, "m", "1", tmp_path)
    with changed(serving, "m") as state:
        state.servers["1"].identity = ""
    assert serving.deploy("m", "1", tmp_path / "m-1", holder=ME).stable == "1"
    with pytest.raises(ModelReplacedError):
        serving.deploy("m", "1", model(tmp_path / "again", (3, 4)), holder=ME)


def test_stop_ends_a_deployment_that_waits_for_its_server(serving, tmp_path):
    deployed(serving, "m", "1", tmp_path)
    never = model(tmp_path / "two", ping=503)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(serving.deploy, "m", "2", never, holder=ME)
        until(lambda: serving.endpoint_state("m").servers.get("2") is not None)
        until(lambda: serving.endpoint_state("m").servers["2"].process is not None)
        began = time.monotonic()
        assert serving.stop("m", None, now=time.time()).holder == ME
        assert time.monotonic() - began < 4
        with pytest.raises(LeaseLostError, match="a person stopped the rollout"):
            waiting.result()
    assert [p.info["cmdline"] for p in processes_of(serving.state_dir / "m" / "versions" / "2")] == []
    serving.claim("m", "m__rollout/run-2")
    assert serving.deploy("m", "3", model(tmp_path / "three"), holder="m__rollout/run-2").canary == "3"


def test_gateway_is_known_when_the_machines_clock_was_set(serving, tmp_path):
    deployed(serving, "m", "1", tmp_path)
    with changed(serving, "m") as state:
        state.gateway = replace(state.gateway, started=state.gateway.started - 3600)
    assert serving.revive("m") == ()


def test_stable_version_that_does_not_start_again_is_not_forgotten(serving, tmp_path, bystander):
    deployed(serving, "m", "1", tmp_path)
    reboot(serving, "m", bystander.pid)
    home = serving.state_dir / "m" / "versions" / "1" / "model" / "MLmodel"
    text = home.read_text()
    home.write_text("broken")
    with pytest.raises(ServiceUnavailableError, match="model server of version 1: ended while starting"):
        serving.claim("m", ME)
    home.write_text(text)
    serving.claim("m", ME)
    assert ask(serving.url("m")).headers["X-Model-Version"] == "1"


def test_request_under_way_is_answered_though_its_version_is_replaced_and_cleaned_up(serving, tmp_path):
    url = deployed(serving, "m", "1", tmp_path, milliseconds=(6500, 6500))
    serving.deploy("m", "2", model(tmp_path / "two"), holder=ME)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(ask, url)
        until(lambda: Gateway(serving.state_dir / "m").stats()["slot1"].current == 1)
        serving.promote("m", "2", holder=ME)
        serving.clean_up("m", holder=ME)
        answer = slow.result()
    assert (answer.status_code, answer.headers["X-Model-Version"]) == (200, "1")
    assert set(serving.counters("m").versions) == {"2"}


def test_no_request_fails_while_weights_change_and_a_version_is_promoted(serving, tmp_path):
    url = deployed(serving, "m", "1", tmp_path, milliseconds=(15, 25))
    serving.deploy("m", "2", model(tmp_path / "two", (15, 25)), holder=ME)
    with Clients(url, count=3) as clients:
        for percent in (5, 50, 0, 100, 25):
            serving.set_traffic("m", "2", percent, holder=ME)
            clients.more(30)
        serving.promote("m", "2", holder=ME)
        serving.clean_up("m", holder=ME)
        clients.more(30)
    assert {status for _, status in clients.answers} == {200}
    assert {version for version, _ in clients.answers[-20:]} == {"2"}


def test_endpoint_that_was_deleted_is_named_and_gets_no_traffic(serving, tmp_path):
    with pytest.raises(EndpointMissingError, match=r"endpoint 'm' has no state below .*deleted, or never"):
        serving.set_traffic("m", "2", 5, holder=ME)
    (serving.state_dir / "m").mkdir(exist_ok=True)
    (serving.state_dir / "m" / "state.json").write_text('{"endpoint": ')
    with pytest.raises(InvalidRecordError, match=r"state\.json: no state of an endpoint"):
        serving.traffic("m")
    (serving.state_dir / "m" / "state.json").unlink()
