"""The demo's reaper: it is there, knows the ledger, and ends before what it would revive."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from airflow_mlops.backends.serving.local.backend import LocalServing
from airflow_mlops.cli import _parser
from airflow_mlops.demo import services as module
from airflow_mlops.demo.services import Services


@pytest.fixture
def started(monkeypatch):
    """Commands that were started and, in order, what was stopped; nothing really runs."""
    found = SimpleNamespace(commands={}, stopped=[])

    def start(command, *, log, folder, environment):
        found.commands[log.stem] = command
        return SimpleNamespace(stop=lambda: found.stopped.append(log.stem), to_json=dict)

    monkeypatch.setattr(module, "start", start)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: None)
    monkeypatch.setattr(Services, "_wait", lambda self, name, url: None)
    monkeypatch.setattr(LocalServing, "stop_all", lambda self: found.stopped.append("gateways"))
    return found


def test_reaper_looks_after_the_demos_endpoints_and_tells_its_ledger(tmp_path, started):
    services = Services(tmp_path, reaps=True)
    services.start()
    options = _parser().parse_args(started.commands["reaper"][3:])
    assert (options.state_dir, options.tracking_uri) == (str(tmp_path / "serving"), services.mlflow_url)
    assert (options.every, options.revive) == (2.0, True)


def test_reaper_is_stopped_before_what_it_would_bring_back(tmp_path, started):
    services = Services(tmp_path, reaps=True)
    services.start()
    services.stop()
    assert (started.stopped[0], started.stopped[-1]) == ("reaper", "gateways")


def test_services_have_no_reaper_unless_asked(tmp_path, started):
    Services(tmp_path).start()
    assert "reaper" not in started.commands
