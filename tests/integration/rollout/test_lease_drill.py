"""Airflow is killed in a canary step and stays away for longer than the lease: told as a story with times."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

import psutil
import pytest
from guarded_model import MODEL, Rollout

from airflow_mlops.backends.serving.local.process import start
from airflow_mlops.demo.services import AIRFLOW

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ANALYSE = "step_1_20pct.analyse"


class Story:
    """Writes what happens with the seconds since it began."""

    def __init__(self):
        self.began = time.monotonic()

    def tell(self, line):
        sys.stdout.write(f"{time.monotonic() - self.began:6.1f} s  {line}\n")


@pytest.fixture
def reaper(airflow, guarded, tmp_path):
    """The reaper as a process that knows nothing of Airflow."""
    program = Path(sys.executable).with_name("airflow-mlops")
    command = [str(program), "reap", "--state-dir", str(airflow.services.serving.state_dir), "--every", "1"]
    environment = {"PATH": "/usr/bin", "PYTHONPATH": airflow.services.extra["PYTHONPATH"]}
    log = tmp_path / "reaper.log"
    process = start(command, log=log, folder=tmp_path, environment=environment)
    yield log
    process.stop()


def kill_all(services):
    """SIGKILL every process of Airflow, the tasks of its workers too; return how many there were."""
    parents = [psutil.Process(services.processes[name].pid) for name in AIRFLOW]
    family = [member for parent in parents for member in (*parent.children(recursive=True), parent)]
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended by itself in between
            member.kill()
    return len(psutil.wait_procs(family, timeout=10)[0])


def come_back(services):
    for name in AIRFLOW:
        services.run(name)
    services._wait("api-server", f"{services.airflow_url}/api/v2/version")


def test_airflow_stopped_longer_than_the_lease_leaves_the_canary_at_0_and_nobody_notices(
    airflow, guarded, reaper, clients
):
    story = Story()
    with clients(guarded.serving.url(MODEL)) as sent:
        rollout = Rollout(guarded, "brief")
        rollout.wait(ANALYSE, "deferred")
        airflow.api.wait(lambda: sent.answers[-1:] and guarded.shape()[2] == 20, 20, "the canary's share")
        story.tell(f"version {rollout.version} gets 20 % of requests under a lease of 8 s")
        killed = kill_all(airflow.services)
        left = guarded.lease().expires_at - time.time()
        story.tell(f"Airflow is killed: {killed} processes; the lease ends in {left:.1f} s")
        assert guarded.shape() == (rollout.stable, rollout.version, 20)
        airflow.api.wait(lambda: guarded.shape()[2] == 0, 30, "the reaper")
        late = time.time() - guarded.lease().expires_at
        story.tell(f"the reaper sets the canary to 0 %, {late:.1f} s after the lease ended")
        before = len(sent.answers)
        airflow.api.wait(lambda: len(sent.answers) > before + 60, 20, "requests without Airflow")
        assert {version for version, _ in sent.answers[before + 5 :]} == {rollout.stable}
        come_back(airflow.services)
        story.tell("Airflow is back")
        assert rollout.end() == "failed"
    why = next(line for line in rollout.log(ANALYSE).splitlines() if line.startswith("rollback: "))
    story.tell(f"the run ends failed: {why}")
    failed = sum(status != 200 for _, status in sent.answers)
    story.tell(f"{len(sent.answers)} requests of clients, {failed} failed; {rollout.stable} serves")
    assert "canary at 0 %" in reaper.read_text()
    assert why.startswith(f"rollback: version {rollout.version} at 20 %: lease of guarded__brief/")
    assert "ran out" in why
    assert failed == 0
    assert rollout.states()["roll_back"] == "success"
    assert guarded.shape() == (rollout.stable, None, 0)
    assert guarded.champion() == rollout.stable
    assert late < 5.0 + 1.0 + 2.0  # what clocks may disagree by, the reaper's interval, its work
