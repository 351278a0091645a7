"""Where people act: the site of ``make chaos`` with its own DAG files, and a reaper with a ledger."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

import httpx
import psutil
from chaos.site import Site
from people.schedule import ASK, TASKS, Action, Cell
from processes import kill_now, until

SOURCE = Path(__file__).parent / "dags" / "people.py"
KEPT, REMOVED = "people", "removed"
AIRFLOW_AT_WORK = ("scheduler", "triggerer", "dag-processor")


class PeopleSite(Site):
    """Has two DAG files: one that stays, and one that is deleted."""

    tasks = TASKS

    def __init__(self, home: Path) -> None:
        self.dags = home.absolute() / "dags"
        names = tuple(f"{stem}__{plan}" for stem in (KEPT, REMOVED) for plan in ("rollout", "asking"))
        super().__init__(home, dags=self.dags, dag_ids=names)

    def start(self) -> None:
        """Start everything."""
        self.dags.mkdir(parents=True)
        self.put_back(KEPT)
        self.put_back(REMOVED)
        super().start()

    def reap_command(self) -> list[str]:
        """Return the command of the reaper, which writes ends to the ledger as well."""
        return [*super().reap_command(), "--tracking-uri", self.services.mlflow_url]

    def put_back(self, stem: str) -> None:
        """Write a DAG file."""
        shutil.copyfile(SOURCE, self.dags / f"{stem}.py")

    def remove(self) -> None:
        """Delete the DAG file that is there to be deleted."""
        (self.dags / f"{REMOVED}.py").unlink()

    def dag_of(self, cell: Cell) -> str:
        """Return the DAG in which a cell happens."""
        stem = REMOVED if cell.action is Action.DELETE_DAG else KEPT
        return f"{stem}__{'asking' if cell.step == ASK else 'rollout'}"

    def pause(self, dag_id: str, *, paused: bool) -> None:
        self.api._send("PATCH", f"dags/{dag_id}", json={"is_paused": paused})

    def wait_until_parsed(self, dag_id: str) -> None:
        """Wait until Airflow runs a DAG whose file was put back."""

        def is_there() -> bool:
            return not self.api.get(f"dags/{dag_id}")["is_stale"]

        self.api.wait(is_there, 90, f"{dag_id} to be parsed")

    def kill_airflow(self) -> None:
        """Kill what schedules, watches, parses and works; the API server stays, since people use it."""
        victims = []
        for name in AIRFLOW_AT_WORK:
            with contextlib.suppress(psutil.NoSuchProcess):
                first = psutil.Process(self.services.processes[name].pid)
                victims += [first, *first.children(recursive=True)]
        kill_now(*(each for each in victims if not self._serves(each)))

    def start_airflow(self) -> None:
        """Start again what was killed, as a service manager does."""
        for name in AIRFLOW_AT_WORK:
            self.services.run(name)
        self.sweep()

    def held_by(self) -> tuple[str | None, str | None]:
        """Return who holds the endpoint, and its canary."""
        state = self.serving.endpoint_state("chaos")
        return state.holder, state.canary

    def wait_until_free(self, seconds: float) -> bool:
        """Wait until nobody holds the endpoint; whether that came."""
        with contextlib.suppress(AssertionError):
            until(lambda: self.held_by()[0] is None, "the endpoint to be free", seconds, pause=0.2)
        return self.held_by()[0] is None

    def error_of(self, dag_id: str, run_id: str, step: str) -> str:
        """Return the error that a task's last try ended with."""
        task = self.task(dag_id, run_id, step)
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{self.tasks[step]}/logs"
        with contextlib.suppress(httpx.HTTPError):
            lines = self.api.get(f"{path}/{task.get('try_number', 1)}")["content"]
            details = [each for line in lines for each in line.get("error_detail") or ()]
            return "; ".join(f"{each['exc_type']}: {each['exc_value']}" for each in details)
        return "no log"

    def _serves(self, process: psutil.Process) -> bool:
        """Whether a process is a gateway or a model server: a worker starts them, and they outlive it."""
        try:
            return str(self.serving.state_dir) in " ".join(process.cmdline()) or process.ppid() == 1
        except psutil.NoSuchProcess:
            return True


def now_and_then(condition, seconds: float) -> bool:
    """Wait for a condition; whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True
