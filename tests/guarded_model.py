"""A model that serves, whose next versions are rolled out by the plans of a test; it fails on demand."""

from __future__ import annotations

import json

import mlflow.pyfunc
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, Schema

from airflow_mlops.backends.registry.protocol import LedgerEntry
from airflow_mlops.backends.serving.local.state import StateFile

MODEL = "guarded"
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
        self.registry.promote(LedgerEntry(**self._by_hand(None, first)))
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
        return self.registry.register(MODEL, run.info.run_id, logged.model_uri, {}).version

    def serve(self, version):
        """Bring a version into service as a rollout by hand does."""
        model = self.registry.download(MODEL, version, self.folder / "model")
        self.serving.claim(MODEL, "setup")
        self.serving.deploy(MODEL, version, model, holder="setup")
        self.serving.promote(MODEL, version, holder="setup")
        self.serving.clean_up(MODEL, holder="setup")
        self.serving.release(MODEL, "setup")

    def shape(self):
        seen = self.serving.traffic(MODEL)
        return seen.stable, seen.canary, seen.canary_percent

    def lease(self):
        """Return the lease as it lies on the disk."""
        return self._state().lease

    def servers(self):
        """Return the versions that are up."""
        return set(self._state().servers)

    def _state(self):
        return StateFile(self.serving.state_dir / MODEL, MODEL).read()

    def champion(self):
        return self.registry.alias(MODEL, "champion")

    @staticmethod
    def _by_hand(before, after):
        known = {"from_version": before, "to_version": after, "reason": "by hand"}
        return {"model": MODEL, "dag_id": "setup", "run_id": f"run-{after}", **known}
