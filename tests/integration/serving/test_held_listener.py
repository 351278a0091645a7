"""The listening socket outlives a real gateway; what happens when its holder dies."""

from __future__ import annotations

import socket
import stat
from concurrent.futures import ThreadPoolExecutor, wait

import httpx
import psutil
import pytest
from local_serving import ME, Clients, ask, changed, deployed, model
from processes import kill_now

from airflow_mlops.backends.serving.local import model_process
from airflow_mlops.backends.serving.local.backend import LocalServing
from airflow_mlops.backends.serving.local.gateway import Gateway
from airflow_mlops.backends.serving.local.process import find_by_argument
from airflow_mlops.core.errors import ServiceUnavailableError

pytestmark = pytest.mark.integration


def holder_of(serving, endpoint):
    (found,) = find_by_argument(f"keeper-of={serving.state_dir / endpoint}")
    return psutil.Process(found.pid)


def ask_each(url, count):
    """Ask on connections of their own, all at once; return the codes."""
    with ThreadPoolExecutor(count) as pool:
        return [answer.status_code for answer in pool.map(ask, [url] * count)]


def test_gateway_that_is_killed_loses_only_the_requests_it_had(serving, tmp_path):
    url = deployed(serving, "m", "1", tmp_path, milliseconds=(15, 25))
    serving.deploy("m", "2", model(tmp_path / "two", (15, 25)), holder=ME)
    serving.set_traffic("m", "2", 50, holder=ME)
    with Clients(url, count=4) as clients:
        for _ in range(3):
            clients.more(40)
            before = len([1 for _, status in clients.answers if status != 200])
            kill_now(psutil.Process(serving.endpoint_state("m").gateway.pid))
            with ThreadPoolExecutor(1) as pool:
                late = pool.submit(ask_each, url, 20)
                assert not wait([late], timeout=0.5).done  # nobody answers, nobody refuses
                assert serving.revive("m") == ("gateway",)
                assert set(late.result()) == {200}
            clients.more(40)
            lost = [status for _, status in clients.answers if status != 200]
            assert len(lost) - before <= 4, lost
            assert set(lost) <= {"RemoteProtocolError", "ReadError"}
    assert serving.url("m") == url
    assert serving.traffic("m").canary_percent == 50


def test_death_of_the_socket_holder_fails_no_request_and_the_port_is_bound_again_with_the_next_gateway(
    serving, tmp_path
):
    url = deployed(serving, "m", "1", tmp_path)
    holder = holder_of(serving, "m")
    with Clients(url) as clients:
        clients.more()
        kill_now(holder)
        clients.more()
    assert {status for _, status in clients.answers} == {200}
    assert serving.revive("m") == ()
    with httpx.Client() as lingering:  # its connection keeps the port from whoever does not expect that
        assert lingering.get(f"{url}/gateway/health").is_success
        kill_now(psutil.Process(serving.endpoint_state("m").gateway.pid))
        with pytest.raises(httpx.ConnectError):
            ask(url)
        assert serving.revive("m") == ("gateway",)
        assert serving.url("m") == url
    assert ask(url).status_code == 200
    assert holder_of(serving, "m").pid != holder.pid


def test_weights_and_counts_are_unknown_not_zero_while_a_gateway_comes_back(serving, tmp_path):
    deployed(serving, "m", "1", tmp_path)
    with changed(serving, "m") as state:
        gateway, state.gateway = state.gateway, None
    for asked in (serving.traffic, serving.counters):
        with pytest.raises(ServiceUnavailableError, match="gateway of 'm' is not back yet"):
            asked("m")
    with changed(serving, "m") as state:
        state.gateway = gateway


def test_holders_door_is_for_its_owner_only(serving, tmp_path):
    deployed(serving, "m", "1", tmp_path)
    assert stat.S_IMODE(Gateway(serving.state_dir / "m").listener.door.stat().st_mode) == 0o600


def test_endpoint_moves_to_the_port_that_it_is_given_though_the_holder_has_another(serving, tmp_path):
    old = httpx.URL(deployed(serving, "m", "1", tmp_path)).port
    kill_now(psutil.Process(serving.endpoint_state("m").gateway.pid))
    port = model_process.free_port()
    pinned = LocalServing(serving.state_dir, ports={"m": port})
    assert pinned.revive("m") == ("gateway",)
    assert ask(f"http://127.0.0.1:{port}").status_code == 200
    with socket.socket() as former:
        assert former.connect_ex(("127.0.0.1", old)) != 0
