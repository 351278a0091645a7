"""A person stops a rollout by the command, as its own process, while clients ask and Airflow is away."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from local_serving import ME, Clients, deployed, model

from airflow_mlops.core.errors import LeaseLostError

pytestmark = pytest.mark.integration
LIMIT_SECONDS = 5.0


def stop(serving, *more):
    """Run the command; return its exit code and what it said."""
    command = [
        sys.executable,
        "-m",
        "airflow_mlops.cli",
        "stop",
        "m",
        "--reason",
        "complaints",
        "--by",
        "ann",
    ]
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    folder = ["--state-dir", str(serving.state_dir)]
    done = subprocess.run([*command, *folder, *more], env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout.splitlines(), done.stderr


@pytest.fixture
def lease(serving, tmp_path):
    """Version 2 gets half of the requests beside version 1, under a lease of ten minutes."""
    deployed(serving, "m", "1", tmp_path)
    serving.deploy("m", "2", model(tmp_path / "m-2"), holder=ME)
    mine = serving.take_lease("m", ME, now=time.time(), seconds=600.0)
    serving.set_traffic("m", "2", 50, holder=ME, lease=mine)
    return mine


def test_stop_under_traffic_costs_no_request_and_the_canary_gets_none_after_it(serving, lease):
    with Clients(serving.url("m")) as clients:
        clients.more()
        began = time.monotonic()
        code, said, problem = stop(serving)
        took = time.monotonic() - began
        after = len(clients.answers)
        clients.more(200)
    assert (code, problem) == (0, "")
    assert said[0] == f"m: version 2 stopped, 50 % → 0 %; version 1 serves; {ME} no longer holds it"
    assert {version for version, _ in clients.answers[after + 10 :]} == {"1"}
    assert {status for _, status in clients.answers} == {200}
    assert took < LIMIT_SECONDS
    seen = serving.traffic("m")
    assert (seen.stable, seen.canary, seen.canary_percent, seen.holder) == ("1", None, 0, None)
    with pytest.raises(LeaseLostError, match="a person stopped the rollout"):
        serving.set_traffic("m", "2", 60, holder=ME, lease=lease)
    (end,) = serving.pending_ends("m")
    assert (end.kind, end.actor, end.percent, end.holder) == ("stopped", "ann", 50, ME)


def test_of_two_stops_at_once_one_wins_and_the_next_rollout_may_begin(serving, lease, tmp_path):
    found = []
    both = [threading.Thread(target=lambda: found.append(stop(serving))) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    first, second = sorted(said[0] for _, said, _ in found)
    assert [code for code, _, _ in found] == [0, 0]
    assert "nothing to stop" in first
    assert "version 2 stopped" in second
    serving.claim("m", "m__rollout/run-2")
    serving.deploy("m", "3", model(tmp_path / "m-3"), holder="m__rollout/run-2")
    assert serving.set_traffic("m", "3", 10, holder="m__rollout/run-2").canary_percent == 10


def test_mlflow_that_hangs_does_not_keep_a_person_waiting(serving, lease):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts and never answers
        began = time.monotonic()
        code, said, _ = stop(serving, "--tracking-uri", f"http://127.0.0.1:{silent.getsockname()[1]}")
        took = time.monotonic() - began
    assert (code, said[0].startswith("m: version 2 stopped")) == (0, True)
    assert said[1].startswith("ledger entry pending: ")
    assert took < 2 * LIMIT_SECONDS
    assert serving.traffic("m").canary_percent == 0
