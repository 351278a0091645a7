"""``airflow-mlops stop`` says what it did, and with which exit code."""

from __future__ import annotations

import getpass
import subprocess
import sys

import pytest
from builders import canary_beside_champion

from airflow_mlops.backends.mlflow_server import MlflowServer
from airflow_mlops.backends.registry.in_memory import InMemoryRegistry
from airflow_mlops.backends.registry.mlflow import MlflowRegistry
from airflow_mlops.backends.registry.rest_ledger import RestLedger
from airflow_mlops.cli import connections, main
from airflow_mlops.cli import stop as stop_command
from airflow_mlops.core.errors import ServiceUnavailableError
from airflow_mlops.core.rollout.end import EndKind

HOLDER = "m__rollout/run-1"
STOP = ["stop", "m", "--reason", "complaints since noon", "--conn", "here"]


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it


@pytest.fixture
def serving(monkeypatch):
    """Version 2 gets 25 % beside version 1."""
    backend = canary_beside_champion(HOLDER)
    monkeypatch.setattr(stop_command, "serving_of", lambda options: backend)
    return backend


@pytest.fixture
def registry(monkeypatch):
    found = InMemoryRegistry()
    monkeypatch.setattr(connections, "_ledger_at", lambda server: found)
    return found


def test_stop_says_what_it_did_and_who_is_in_the_ledger(serving, registry, capsys):
    assert main([*STOP, "--tracking-uri", "http://mlflow.test", "--by", "ann"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"m: version 2 stopped, 25 % → 0 %; version 1 serves; {HOLDER} no longer holds it",
        "ledger entry written",
    ]
    (end,) = registry.ends("m")
    assert (end.kind, end.actor, end.reason) == (EndKind.STOPPED, "ann", "complaints since noon")


def test_nothing_to_stop_is_said_and_is_no_failure(serving, registry, capsys):
    main([*STOP, "--tracking-uri", "http://mlflow.test"])
    capsys.readouterr()
    assert main([*STOP, "--tracking-uri", "http://mlflow.test"]) == 0
    assert (
        capsys.readouterr().out
        == "m: nothing to stop: no canary, and no rollout holds it; version 1 serves\n"
    )
    (end,) = registry.ends("m")
    assert end.actor == getpass.getuser()


def test_server_is_that_of_the_environment_unless_given(serving, registry, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.test")
    assert main(STOP) == 0
    assert capsys.readouterr().out.endswith("ledger entry written\n")


def test_without_a_server_the_entry_is_pending(serving, capsys):
    assert main(STOP) == 0
    assert capsys.readouterr().out.endswith("ledger entry pending: no MLflow server was given\n")
    assert len(serving.pending_ends("m")) == 1


@pytest.mark.parametrize(
    "error", [ServiceUnavailableError("gateway is gone"), PermissionError("not yours")], ids=["away", "disk"]
)
def test_endpoint_that_cannot_be_reached_is_2(serving, monkeypatch, capsys, error):
    def stop(endpoint, end, *, now):
        raise error

    monkeypatch.setattr(serving, "stop", stop)
    assert main(STOP) == 2
    assert str(error) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x", "--reason", "why"], "no endpoint 'x'; endpoints: m"),
        (["m", "--reason", " "], "a stop needs a reason"),
    ],
    ids=["endpoint", "reason"],
)
def test_what_cannot_be_meant_is_refused(serving, capsys, arguments, said):
    assert main(["stop", *arguments, "--conn", "here"]) == 2
    assert said in capsys.readouterr().err
    assert serving.traffic("m").canary_percent == 25


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--conn", "nowhere"], "--conn nowhere: "),
        (["--state-dir", "/no/such/folder"], "/no/such/folder: no such folder"),
        (["--state-dir", ".", "--mlflow-conn", "nowhere"], "--mlflow-conn nowhere: "),
    ],
    ids=["connection", "folder", "MLflow"],
)
def test_back_end_that_is_not_there_is_named(arguments, said, capsys):
    assert main(["stop", "m", "--reason", "why", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_ledger_is_written_quickly_to_a_server_and_through_the_package_to_a_database(monkeypatch):
    quick, slow = (connections._ledger_at(MlflowServer(uri)) for uri in ("http://m.test", "sqlite:///m.db"))
    assert (type(quick), type(slow)) == (RestLedger, MlflowRegistry)


def test_stopping_below_a_folder_loads_no_airflow_and_no_mlflow(tmp_path):
    code = (
        "import sys; from airflow_mlops.cli import main\n"
        f"argv = ['stop', 'm', '--reason', 'why', '--state-dir', {str(tmp_path)!r}]\n"
        "assert main([*argv, '--tracking-uri', 'http://127.0.0.1:9']) == 2\n"
        "assert not {'airflow', 'mlflow', 'pandas'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "no endpoint 'm'; endpoints: none" in done.stderr
