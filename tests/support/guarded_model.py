"""A model that serves and fails on demand, and its rollouts as people see and handle them."""

from __future__ import annotations

import json
from datetime import datetime

import httpx
import mlflow.pyfunc
from builders import VALIDATED, bring_into_service, promotion
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, Schema

from airflow_mlops.demo.api import AirflowApi

MODEL = "guarded"
STEP_1, STEP_2 = "step_1_20pct", "step_2_50pct"
PLANS = {
    "asking": {"steps": [{"percent": 20, "approve": True}, 50], "lease_seconds": 20.0},
    "impatient": {"steps": [{"percent": 20, "approve": True}], "answer_within": 5},
    "plain": {"steps": [20, 50], "lease_seconds": 60.0, "bake_seconds": 6.0},
    "brief": {"steps": [20, 50], "lease_seconds": 8.0, "bake_seconds": 60.0},
    "blue_green": {"steps": [100], "strategy": "blue_green", "keep_old_seconds": 12.0},
}


def write_plans(folder):
    folder.mkdir()
    for name, plan in PLANS.items():
        write_plan(folder, name, plan)


def write_plan(folder, name, plan):
    (folder / f"{name}.json").write_text(json.dumps(plan))


class Guarded:
    """The registry's and the gateway's side of the model.

    :param folder: where models lie, and the files that make versions fail; ``fails`` is the newest's.
    """

    def __init__(self, airflow, folder):
        self.airflow, self.folder = airflow, folder
        self.serving, self.registry = airflow.services.serving, airflow.registry
        self.count = 0
        first = self.register()
        self.registry.promote(promotion(MODEL, None, first))
        self.serve(first)

    def register(self):
        """Register a version that fails while a file of its own exists; return its number."""
        self.count += 1
        fails = self.fails = self.folder / f"version {self.count} fails"

        class Doubler(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input, params=None):
                if fails.exists():
                    raise RuntimeError("told to fail")
                return model_input["x"] * 2

        signature = ModelSignature(Schema([ColSpec("double", "x")]), Schema([ColSpec("double")]))
        given = {"python_model": Doubler(), "signature": signature, "pip_requirements": ["mlflow"]}
        with self.registry.server.session(), mlflow.start_run() as run:
            logged = mlflow.pyfunc.log_model(name="model", **given)
        return self.registry.register(MODEL, run.info.run_id, logged.model_uri, VALIDATED).version

    def serve(self, version):
        """Bring a version into service as a rollout by hand does."""
        model = self.registry.download(MODEL, version, self.folder / "model")
        bring_into_service(self.serving, MODEL, version, model)

    def shape(self):
        seen = self.serving.traffic(MODEL)
        return seen.stable, seen.canary, seen.canary_percent

    def lease(self):
        """Return the lease as it lies on the disk."""
        return self.serving.endpoint_state(MODEL).lease

    def servers(self):
        """Return the versions that are up."""
        return set(self.serving.endpoint_state(MODEL).servers)

    def champion(self):
        return self.registry.alias(MODEL, "champion")


class Rollout:
    """One run, from the next version's registration on."""

    def __init__(self, guarded, plan):
        self.guarded, self.api, self.dag_id = guarded, guarded.airflow.api, f"guarded__{plan}"
        self.stable, self.version = guarded.shape()[0], guarded.register()
        self.run_id = self.api.trigger(self.dag_id, conf={"version": self.version})

    def task(self, name):
        return self.api.tasks(self.dag_id, self.run_id)[name]

    def states(self):
        return {name: task["state"] for name, task in self.api.tasks(self.dag_id, self.run_id).items()}

    def wait(self, name, *states):
        def reached():
            state = self.task(name)["state"]
            assert state in states or state not in ("failed", "upstream_failed", "skipped"), self.log(name)
            return state in states

        self.api.wait(reached, 80, f"{name} to be {states}")

    def end(self):
        return self.api.wait_for_run(self.dag_id, self.run_id, 80)["state"]

    def log(self, name):
        """Return what all tries said: Airflow may drop an answer, and the next try finds it."""
        return "\n".join(self._tries(name))

    def _tries(self, name):
        for attempt in range(1, self.task(name)["try_number"] + 1):
            try:
                yield self.api.log(self.dag_id, self.run_id, name, attempt)
            except httpx.HTTPStatusError as error:  # of a try that it dropped, Airflow may keep nothing
                if error.response.status_code != httpx.codes.NOT_FOUND:
                    raise

    def time_of(self, name):
        return datetime.fromisoformat(self.task(name)["start_date"]).timestamp()

    def answer(self, option, *, user="op"):
        path = f"dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{STEP_1}.ask/-1/hitlDetails"
        api = AirflowApi(self.api.url, user, user)
        return api._send("PATCH", path, json={"chosen_options": [option], "params_input": {}})

    def clear(self, *names, downstream=True):
        body = {"dry_run": False, "dag_run_id": self.run_id, "task_ids": list(names), "only_failed": False}
        more = {"include_downstream": downstream, "reset_dag_runs": True}
        self.api.post(f"dags/{self.dag_id}/clearTaskInstances", body | more)

    def mark(self, name, state):
        path = f"dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{name}"
        self.api._send("PATCH", path, json={"new_state": state})

    def mark_run(self, state):
        self.api._send("PATCH", f"dags/{self.dag_id}/dagRuns/{self.run_id}", json={"state": state})
