"""Client of Airflow's REST API, for the demo and the tests."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

FINISHED = ("success", "failed")


class AirflowApi:
    """A client that signs in with its first request.

    :param url: address of the API server.
    """

    def __init__(self, url: str, user: str = "admin", password: str = "admin") -> None:  # noqa: S107 - a local demo
        self.url = url
        self._login = {"username": user, "password": password}
        self._client = httpx.Client(base_url=url, timeout=30)
        self._signed_in = False

    def get(self, path: str, **params: Any) -> Any:
        """GET below ``/api/v2``."""
        return self._send("GET", path, params=params)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """POST below ``/api/v2``."""
        return self._send("POST", path, json=body)

    def wait_for_dags(self, *dag_ids: str, seconds: float = 90) -> None:
        """Wait until the DAG processor has parsed the DAGs."""
        self.wait(
            lambda: all(self._exists(dag_id) for dag_id in dag_ids), seconds, f"DAGs {', '.join(dag_ids)}"
        )

    def trigger(
        self, dag_id: str, *, conf: dict[str, Any] | None = None, partition: str | None = None
    ) -> str:
        """Trigger a run, as the form does; return its id."""
        body = {"logical_date": None, "conf": conf or {}, "partition_key": partition}
        return str(self.post(f"dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def announce(self, asset_name: str, partition: str, **extra: str) -> None:
        """Create an asset event for a partition, with ``extra``."""
        assets = self.get("assets", name_pattern=asset_name)["assets"]
        asset = next(a for a in assets if a["name"] == asset_name)
        self.post("assets/events", {"asset_id": asset["id"], "partition_key": partition, "extra": extra})

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the runs of a DAG, oldest first."""
        runs: list[dict[str, Any]] = self.get(f"dags/{dag_id}/dagRuns", order_by="id", limit=100)["dag_runs"]
        return runs

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Return one run."""
        found: dict[str, Any] = self.get(f"dags/{dag_id}/dagRuns/{run_id}")
        return found

    def tasks(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """Return the run's task instances by task id."""
        found = self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return {task["task_id"]: task for task in found}

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return a task's XCom value; ``None`` if there is none."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        try:
            return self.get(path, deserialize=False, stringify=False)["value"]
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.NOT_FOUND:
                return None
            raise

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int = 1) -> str:
        """Return a task's log as text."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{attempt}"
        return "\n".join(str(line.get("event", line)) for line in self.get(path)["content"])

    def wait_for_run(self, dag_id: str, run_id: str, seconds: float = 300) -> dict[str, Any]:
        """Wait until a run has ended; return it."""
        self.wait(lambda: self.run(dag_id, run_id)["state"] in FINISHED, seconds, f"{dag_id} {run_id} to end")
        return self.run(dag_id, run_id)

    def wait_for_partition(self, dag_id: str, partition: str, seconds: float = 60) -> str:
        """Wait for the newest run of a partition to be created; return its id."""
        found: list[str] = []

        def created() -> bool:
            found[:] = [r["dag_run_id"] for r in self.runs(dag_id) if r["partition_key"] == partition]
            return bool(found)

        self.wait(created, seconds, f"a run of {dag_id} for partition {partition}")
        return found[-1]

    def wait(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for a condition.

        :raises TimeoutError: the condition did not become true in time; names it.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                msg = f"waited {seconds:g} s for {what}"
                raise TimeoutError(msg)
            time.sleep(0.5)

    def _exists(self, dag_id: str) -> bool:
        try:
            self.get(f"dags/{dag_id}")
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.NOT_FOUND:
                return False
            raise
        return True

    def _send(self, method: str, path: str, **options: Any) -> Any:
        if not self._signed_in:
            token = (
                self._client.post("/auth/token", json=self._login).raise_for_status().json()["access_token"]
            )
            self._client.headers["Authorization"] = f"Bearer {token}"
            self._signed_in = True
        return self._client.request(method, f"/api/v2/{path}", **options).raise_for_status().json()
