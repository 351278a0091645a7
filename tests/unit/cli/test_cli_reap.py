from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from airflow_mlops.backends.registry.in_memory import InMemoryRegistry
from airflow_mlops.backends.serving.in_memory import InMemoryServing
from airflow_mlops.backends.serving.local.state import EndpointState, StateFile
from airflow_mlops.cli import main
from airflow_mlops.core.errors import ServiceUnavailableError
from airflow_mlops.core.rollout.lease import Lease


def unwatched(folder, endpoint="m"):
    with StateFile(folder / endpoint, endpoint).locked() as state:
        state.stable, state.canary, state.percent = "1", "2", 25
        state.lease = Lease(holder="m__rollout/run-1", token=1, expires_at=1.0)
    return StateFile(folder / endpoint, endpoint)


def test_canary_that_nobody_watches_is_taken_out_of_traffic(tmp_path, capsys):
    file = unwatched(tmp_path)
    assert main(["reap", "--state-dir", str(tmp_path), "--once"]) == 0
    assert capsys.readouterr().out == "m: canary at 0 %, lease of m__rollout/run-1 expired\n"
    assert file.read().percent == 0
    assert main(["reap", "--state-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""


def test_endpoint_in_trouble_is_reported(tmp_path, capsys):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "state.json").write_text('{"endpoint": 5}')
    assert main(["reap", "--state-dir", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: m: ")


def test_folder_in_place_of_a_state_file_is_named_and_the_next_endpoint_is_stopped(tmp_path, capsys):
    (tmp_path / "a" / "state.json").mkdir(parents=True)
    file = unwatched(tmp_path)
    assert main(["reap", "--state-dir", str(tmp_path)]) == 2
    assert "error: a: " in capsys.readouterr().err
    assert file.read().percent == 0


def test_folder_that_the_first_deployment_will_make_is_waited_for_when_looking_again(
    tmp_path, monkeypatch, capsys
):
    folder, slept = tmp_path / "serving", []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            unwatched(folder)
        elif len(slept) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    assert main(["reap", "--state-dir", str(folder), "--every", "7"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out == [
        f"waiting for {folder}: not created yet",
        "m: canary at 0 %, lease of m__rollout/run-1 expired",
    ]
    assert slept == [7.0] * 4


def test_reaper_that_is_ended_while_it_waits_ends_in_peace(tmp_path, monkeypatch, capsys):
    def sleep(_seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    assert main(["reap", "--state-dir", str(tmp_path / "none"), "--every", "7"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--state-dir", "/no/such/folder", "--once"], "/no/such/folder: no such folder"),
        (["--state-dir", ".", "--every", "0.1"], "--every 0.1: allowed: 1 s or more"),
    ],
)
def test_argument_that_cannot_be_meant_is_named(arguments, said, capsys):
    assert main(["reap", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_connection_leads_to_the_same_endpoints(tmp_path, monkeypatch, capsys):
    file = unwatched(tmp_path)
    extra = f'{{"conn_type": "mlops_local_serving", "extra": {{"state_dir": "{tmp_path}"}}}}'
    monkeypatch.setenv("AIRFLOW_CONN_HERE", extra)
    assert main(["reap", "--conn", "here"]) == 0
    assert (file.read().percent, "canary at 0 %" in capsys.readouterr().out) == (0, True)


def test_reaping_a_folder_loads_no_airflow(tmp_path):
    code = (
        "import sys; from airflow_mlops.cli import main\n"
        f"assert main(['reap', '--state-dir', {str(tmp_path)!r}]) == 0\n"
        "assert 'airflow' not in sys.modules and 'pandas' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_endpoint_without_a_lease_is_left_alone(tmp_path):
    StateFile(tmp_path / "m", "m").folder.mkdir()
    StateFile(tmp_path / "m", "m").write(EndpointState(endpoint="m", stable="1", canary="2", percent=25))
    assert main(["reap", "--state-dir", str(tmp_path)]) == 0
    assert StateFile(tmp_path / "m", "m").read().percent == 25


@pytest.fixture
def in_memory(monkeypatch):
    """A canary with traffic under a lease that ended long ago, behind any connection."""
    backend = InMemoryServing()
    for version in ("1", "2"):
        backend.claim("m", "me")
        backend.deploy("m", version, None, holder="me")
        backend.promote("m", "1", holder="me")
    backend.set_traffic("m", "2", 25, holder="me")
    backend.leases["m"] = Lease(holder="me", token=1, expires_at=1.0)
    monkeypatch.setattr("airflow_mlops.cli.rollout.serving_of", lambda options: backend)
    return backend


def test_reaper_writes_ends_to_the_ledger_when_it_is_told_where(in_memory, monkeypatch):
    registry = InMemoryRegistry()
    monkeypatch.setattr("airflow_mlops.cli.connections._ledger_at", lambda server: registry)
    assert main(["reap", "--conn", "here"]) == 0
    assert [end.kind for end in in_memory.pending_ends("m")] == ["reaped"]
    assert main(["reap", "--conn", "here", "--tracking-uri", "http://mlflow.test"]) == 0
    assert ([end.kind for end in registry.ends("m")], in_memory.pending_ends("m")) == (["reaped"], ())


def test_ledger_that_is_away_delays_no_reaper_and_is_said_once(in_memory, monkeypatch, capsys):
    class Away(InMemoryRegistry):
        def record_end(self, end):
            raise ServiceUnavailableError("MLflow does not answer")

    looks = []

    def sleep(_seconds):
        looks.append(1)
        while any(thread.name.startswith("ledger") for thread in threading.enumerate()):
            pass
        if len(looks) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr("airflow_mlops.cli.connections._ledger_at", lambda server: Away())
    monkeypatch.setattr("time.sleep", sleep)
    assert main(["reap", "--conn", "here", "--every", "1", "--tracking-uri", "http://mlflow.test"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said == ["ledger entries pending: ServiceUnavailableError: MLflow does not answer"]
    assert in_memory.traffic("m").canary_percent == 0
