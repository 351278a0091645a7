"""One run of a rollout as a person at Airflow's API sees and handles it."""

from __future__ import annotations

from datetime import datetime

import httpx

from airflow_mlops.demo.api import AirflowApi

STEP_1, STEP_2 = "step_1_20pct", "step_2_50pct"


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
