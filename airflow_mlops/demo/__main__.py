"""``python -m airflow_mlops.demo``: run the loop, keep its UI running, stop it."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.core.errors import MlopsError
from airflow_mlops.demo.api import AirflowApi
from airflow_mlops.demo.report import print_table, say, write_summary
from airflow_mlops.demo.scenarios import MONITOR_DAG, ROLLOUT_DAG, TRAINING_DAG, Loop
from airflow_mlops.demo.services import USERS, Services

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROOT = Path(__file__).parents[2]
_HOME = Path("build/demo")


def _main(argv: Sequence[str] | None = None) -> int:
    """Run a command: ``run`` (default), ``ui`` or ``stop``."""
    parser = argparse.ArgumentParser(prog="python -m airflow_mlops.demo", description=__doc__)
    parser.add_argument("command", nargs="?", default="run", choices=("run", "ui", "stop"))
    parser.add_argument("--home", type=Path, default=_HOME, help="folder for all state")
    options = parser.parse_args(argv)
    if options.command == "stop":
        Services(options.home).stop()
        return 0
    return _run(options.home, keep=options.command == "ui")


def _run(home: Path, *, keep: bool) -> int:
    Services(home).stop()
    shutil.rmtree(home, ignore_errors=True)
    services, passed, started = _services(home), False, False
    try:
        say("starting MLflow and Airflow (API server, scheduler, DAG processor, triggerer)")
        services.start()
        api, started = AirflowApi(services.airflow_url), True
        api.wait_for_dags(TRAINING_DAG, ROLLOUT_DAG, MONITOR_DAG)
        say(f"ready: Airflow {services.airflow_url}, MLflow {services.mlflow_url}")
        results = Loop(services, api, home.absolute() / "data").run()
        write_summary(home / "summary.json", results)
        print_table(results)
        passed = all(result.passed for result in results)
    except (MlopsError, TimeoutError, RuntimeError) as error:
        say(f"stopped: {error}")
        write_summary(home / "summary.json", [])
    finally:
        if not (keep and started):
            services.stop()
    if keep and started:
        user, password = "admin", USERS["admin"]
        print(f"\nAirflow {services.airflow_url}  user {user}  password {password}")
        print(f"MLflow  {services.mlflow_url}\nstop it all with: {_stop_command(home)}")
    print(f"\nsummary: {home / 'summary.json'}")
    return 0 if passed else 1


def _stop_command(home: Path) -> str:
    """Return what a person types to stop a demo that was left running."""
    return "make stop" if home == _HOME else f"python -m airflow_mlops.demo stop --home {home}"


def _services(home: Path) -> Services:
    variables = {
        "AIRFLOW_VAR_FLIGHT_DELAY_DATA_URI": str(home.absolute() / "data"),
        "AIRFLOW_VAR_FLIGHT_DELAY_SCHEMA": str(_ROOT / "dags" / "models" / "flight_delay.schema.yaml"),
    }
    return Services(home, dags_folder=_ROOT / "dags", environment=variables, reaps=True)


if __name__ == "__main__":
    sys.exit(_main())
