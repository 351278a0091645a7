"""1,000 canary analyses on one triggerer: how late they look, what it costs, how soon all have decided.

Real: the triggerer's process and database (Postgres where it is installed, else SQLite), the trigger,
HAProxy, a lease on disk per endpoint. All endpoints are answered by one HAProxy. ``CONTROL=1`` starts as
many of Airflow's own triggers instead, and says how often they block the event loop.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import sqlalchemy
from triggerer_site import open_site, write_rows

from airflow_mlops.backends.serving.local.model_process import free_port
from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.demo.services import Services

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from postgres_server import airflow_database

COUNT = int(os.environ.get("ANALYSES", "1000"))
CONTROL = bool(os.environ.get("CONTROL"))
CONTROL_SECONDS = 30.0 + 0.05 * COUNT
"""Until plain triggers fire: long enough to write the rows and to start them all."""
WINDOW, WATCHED = 10.0, 90.0
HOUR = 3600.0
PLAN = RolloutPlan(
    steps=(20, 50),
    bake_seconds=HOUR,
    deadline_seconds=2 * HOUR,
    window_seconds=WINDOW,
    lease_seconds=HOUR,
)
BLOCKED = re.compile(r"async thread was blocked for ([0-9.]+) seconds")


class Lateness:
    """How much later than its window each analysis looked, seen from outside."""

    def __init__(self, site):
        self.site, self.last, self.late = site, site.looked_at(), []

    def watch(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(1.0)
            now = self.site.looked_at()
            pairs = zip(self.last, now, strict=True)
            self.late += [max(0.0, after - before - WINDOW) for before, after in pairs if after != before]
            self.last = now
        overdue = time.time() - WINDOW - np.array(self.last)
        self.late += [late for late in overdue if late > 1.0]  # who does not look at all is late, too


class Cost:
    """CPU seconds and memory of a process and its children."""

    def __init__(self, pid):
        self.pid, self.began, self.spent = pid, time.monotonic(), self._spent(pid)

    def cpu_share(self):
        return (self._spent(self.pid) - self.spent) / (time.monotonic() - self.began)

    def memory_mb(self):
        return sum(p.memory_full_info().pss for p in self._family(self.pid)) / 1e6

    @staticmethod
    def _family(pid):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]

    def _spent(self, pid):
        return sum(sum(p.cpu_times()[:2]) for p in self._family(pid))


def services_of(home, settings):
    services = Services(home, environment={"PYTHONPATH": os.environ.get("PYTHONPATH", ""), **settings})
    services.ports = {name: free_port() for name in ("mlflow", "api-server", "worker-log", "trigger-log")}
    migrate = [Path(sys.executable).with_name("airflow"), "db", "migrate"]
    subprocess.run(migrate, env=services.environment(), check=True, stdout=subprocess.DEVNULL)
    return services


def states(engine):
    with engine.connect() as connection:
        text = "SELECT state, count(*) FROM task_instance GROUP BY state"
        return dict(connection.execute(sqlalchemy.text(text)).all())


def wait_for(condition, seconds, what):
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            msg = f"waited {seconds:g} s for {what}"
            raise TimeoutError(msg)
        time.sleep(0.5)
    return time.monotonic() - began


class Blocked:
    """Seconds for which Airflow says that the event loop was blocked, by what went on meanwhile."""

    def __init__(self, log):
        self.log, self.known, self.during = log, 0, {}

    def note(self, phase):
        found = [float(seconds) for seconds in BLOCKED.findall(self.log.read_text())]
        self.during[phase], self.known = found[self.known :], len(found)


def measure(home, site, services, engine):
    """Return what was found: seconds, shares of a core, MB."""
    begun, blocked = time.time(), Blocked(home / "triggerer.log")
    pid = services.run("triggerer").pid
    first = wait_for(lambda: min(site.looked_at()) > begun, 240, "every analysis to look once")
    blocked.note("starting")
    late, cost = Lateness(site), Cost(pid)
    late.watch(WATCHED)
    blocked.note("watching")
    used = {"cpu": cost.cpu_share(), "memory": cost.memory_mb()}
    site.models["2"].fails = True
    decided = wait_for(lambda: states(engine).get("scheduled") == COUNT, 240, "every analysis to decide")
    blocked.note("deciding")
    return {"first": first, "late": late.late, "decided": decided, "blocked": blocked.during, **used}


def control(home, services, engine, fires_at):
    """Return how often as many of Airflow's own triggers block the loop, which do nothing but wait."""
    blocked = Blocked(home / "triggerer.log")
    services.run("triggerer")
    time.sleep(max(0.0, fires_at - time.time()))
    blocked.note("starting")
    wait_for(lambda: states(engine).get("scheduled") == COUNT, 240, "every plain trigger to fire")
    blocked.note("deciding")
    return blocked.during


def report(found, database_name):
    p50, p99, worst = (np.quantile(found["late"], q) for q in (0.5, 0.99, 1.0))
    print(f"{COUNT} analyses on one triggerer, {WINDOW:g} s windows, {database_name}, {os.cpu_count()} cores")
    print(f"looks            {len(found['late'])} in {WATCHED:g} s")
    print(f"late             p50 {p50:.2f} s, p99 {p99:.2f} s, at most {worst:.2f} s")
    print(f"CPU              {found['cpu']:.0%} of a core")
    print(f"memory           {found['memory']:.0f} MB")
    print(f"all looked once  {found['first']:.0f} s after the triggerer's start")
    print(f"all rolled back  {found['decided']:.0f} s after all canaries began to fail")
    print_blocks(found["blocked"])
    held = max(found["blocked"]["watching"] + found["blocked"]["deciding"], default=0.0)
    bars = {
        f"a look was {worst:.1f} s late, allowed {2 * WINDOW:g} s": worst < 2 * WINDOW,
        "looks are missing": len(found["late"]) > 0.9 * COUNT * (WATCHED / WINDOW - 1),
        # At the start Airflow itself blocks it: CONTROL=1 shows how often with plain triggers.
        f"the event loop was blocked for a tenth of a window ({held:.2f} s)": held < WINDOW / 10,
    }
    missed = [bar for bar, met in bars.items() if not met]
    print("; ".join(missed) or "all bars met")
    return 1 if missed else 0


def print_blocks(during):
    for phase, seconds in during.items():
        print(f"loop blocked     {len(seconds)} times while {phase}, {max(seconds, default=0):.2f} s at most")


def main():
    with tempfile.TemporaryDirectory(prefix="trig-") as folder:
        home = Path(folder)
        with airflow_database() as settings, open_site(home, count=COUNT, lease_seconds=HOUR) as site:
            services = services_of(home, settings)
            known = {"plan": PLAN.to_json(), "state_dir": str(site.serving.state_dir)}
            fires_at = time.time() + CONTROL_SECONDS
            known |= {"control_at": fires_at} if CONTROL else {}
            (home / "site.json").write_text(json.dumps({**known, "endpoints": site.endpoints}))
            write_rows(home / "site.json", services.environment())
            engine = sqlalchemy.create_engine(services.environment()["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
            try:
                if CONTROL:
                    during = control(home, services, engine, fires_at)
                    print(f"{COUNT} plain triggers of Airflow, {engine.dialect.name}, {os.cpu_count()} cores")
                    print_blocks(during)
                    return 0
                found = measure(home, site, services, engine)
            finally:
                services.processes["triggerer"].stop()
                engine.dispose()
            return report(found, engine.dialect.name)


if __name__ == "__main__":
    sys.exit(main())
