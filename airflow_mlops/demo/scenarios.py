"""The five scenarios of the demo: actions, expected result, and how it is observed from outside."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.evidence.mlflow import MlflowEvidence
from airflow_mlops.backends.evidence.protocol import EvidenceKey
from airflow_mlops.backends.mlflow_server import MlflowServer
from airflow_mlops.backends.registry.mlflow import MlflowRegistry
from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS
from airflow_mlops.demo import flights
from airflow_mlops.demo.report import Result, say
from airflow_mlops.demo.traffic import ReplayProcess
from airflow_mlops.runtime.paths import report_path

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_mlops.demo.api import AirflowApi
    from airflow_mlops.demo.services import Services

_MODEL = "flight_delay"
TRAINING_DAG, ROLLOUT_DAG, MONITOR_DAG = (
    f"{_MODEL}__{stage}" for stage in ("training", "rollout", "monitor")
)
_DATA = f"mlops/{_MODEL}/data"
_RATE = 30.0
_LABELLED_REQUESTS = 400
_CANARY_SHARE = 0.5
_SLACK = 0.1


class Loop:
    """The running system and the state that the scenarios share.

    :param data: folder of the dataset.
    """

    def __init__(self, services: Services, api: AirflowApi, data: Path) -> None:
        self.services = services
        self.api = api
        self.data = data
        server = MlflowServer(services.mlflow_url)
        self.registry, self.evidence = MlflowRegistry(server), MlflowEvidence(server)
        self.live: ReplayProcess | None = None

    def run(self) -> list[Result]:
        """Run all scenarios."""
        try:
            results = [self.cold_start(), self.skew()]
            return [*results, self.broken_schema(), self.bad_challenger(), self.by_hand()]
        finally:
            if self.live is not None:
                self.live.stop()

    def cold_start(self) -> Result:
        """Months 1 and 2 arrive, no version serves: the first champion, by canary under live requests."""
        began = _begin("a", "two months of flights arrive, there is no model yet")
        for month in ("2013-01", "2013-02"):
            flights.write_partition(self.data, month)
        run = self._arrive("2013-02")
        version = self._candidate(run)
        rollout = self.api.wait_for_partition(ROLLOUT_DAG, version)
        self.api.wait(
            lambda: self._state(ROLLOUT_DAG, rollout, "deploy_canary") == "success", 120, "the canary"
        )
        self._live("2013-03")
        state = self._finish(ROLLOUT_DAG, rollout)
        enough = lambda: sum(c["sent"] for c in self._seen().values()) >= _LABELLED_REQUESTS  # noqa: E731
        self.api.wait(enough, 120, f"{_LABELLED_REQUESTS} live requests")
        seen, champion = self._seen(), self.registry.alias(_MODEL, CHAMPION_ALIAS)
        passed = state == "success" and champion == version and not _failed(seen)
        observed = f"rollout {state}, champion is version {champion}, {_failed(seen)} requests failed"
        expected = "trained at cold start, rolled out by canary, champion, no failed request"
        return self._result("a", "cold start", expected, observed, passed, began, ROLLOUT_DAG, rollout, seen)

    def skew(self) -> Result:
        """Month 3's labels arrive with shifted statistics: a challenger is trained and validated."""
        began = _begin("b", "month 3 arrives; weather and delays differ from winter's")
        flights.write_partition(self.data, "2013-03")
        self._live("2013-04")
        before = self.registry.alias(_MODEL, CHAMPION_ALIAS)
        run = self._arrive("2013-03")
        decision = self.api.xcom(TRAINING_DAG, run, "retrain_gate") or {}
        verdict = self.api.xcom(TRAINING_DAG, run, "validate_model") or {}
        monitored = self._monitored("2013-03")
        if verdict.get("outcome") in ("pass", "warn"):
            rollout = self.api.wait_for_partition(ROLLOUT_DAG, self._candidate(run))
            wanted: str | None = (
                self._candidate(run) if self._finish(ROLLOUT_DAG, rollout) == "success" else ""
            )
            how = f"promoted version {wanted}"
        else:
            wanted, how = before, f"refused: {_reasons(verdict)}"
        seen, ended = self._seen(), self.registry.alias(_MODEL, CHAMPION_ALIAS) == wanted
        passed = decision.get("trigger") == "skew" and ended and monitored != "" and not _failed(seen)
        observed = f"retrained for {decision.get('trigger')}, {how}; monitored: {monitored or 'failed'}"
        expected = "skew found, retrained, challenger promoted or refused with reasons"
        return self._result("b", "natural skew", expected, observed, passed, began, TRAINING_DAG, run, seen)

    def broken_schema(self) -> Result:
        """Month 4 arrives with a renamed column and a number as text: stopped before training."""
        began = _begin("c", "month 4 arrives broken: dep_delay renamed, distance is text")
        flights.write_broken_partition(self.data, "2013-04")
        versions = len(self.registry.versions(_MODEL))
        run = self._arrive("2013-04")
        states = {name: task["state"] for name, task in self.api.tasks(TRAINING_DAG, run).items()}
        tries = self.api.tasks(TRAINING_DAG, run)["check_schema"]["try_number"]
        report = self.evidence.read_json(self._evidence(TRAINING_DAG, run), report_path("schema"))
        trained = len(self.registry.versions(_MODEL)) - versions
        stopped = states["check_schema"] == "failed" and states["train_model"] == "upstream_failed"
        passed = stopped and tries == 1 and trained == 0 and "dep_delay" in str(report)
        observed = f"check_schema {states['check_schema']} after {tries} try: {_reasons(report)}"
        expected = "run fails at the schema without a retry, report stored, nothing trained"
        return self._result("c", "broken schema", expected, observed, passed, began, TRAINING_DAG, run, {})

    def bad_challenger(self) -> Result:
        """Roll out a challenger that passes validation but rejects some live requests."""
        began = _begin("d", "a model rejects missing values; cancelled flights have some")
        self._live("2013-06")  # storms: one flight in thirty is cancelled
        before = self.registry.alias(_MODEL, CHAMPION_ALIAS)
        form = {"partition": "2013-03", "reason": "guard", "force": True, "params": {"reject_missing": True}}
        run = self._by_form(form)
        version = self._candidate(run)
        rollout = self.api.wait_for_partition(ROLLOUT_DAG, version)
        state = self._finish(ROLLOUT_DAG, rollout)
        seen, after = self._seen(), self.services.serving.traffic(_MODEL)
        stable, canary = (seen.get(v or "", {"sent": 0, "failed": 0}) for v in (before, version))
        share = canary["sent"] / max(1, canary["sent"] + stable["sent"])
        rolled_back = state == "failed" and self._state(ROLLOUT_DAG, rollout, "roll_back") == "success"
        kept = after.stable == before == self.registry.alias(_MODEL, CHAMPION_ALIAS) and after.canary is None
        proportional = canary["failed"] > 0 and stable["failed"] == 0 and share <= _CANARY_SHARE + _SLACK
        observed = (
            f"rollout {state}, version {after.stable} serves; the canary got {share:.0%} of requests and "
            f"failed {canary['failed']}, the champion failed {stable['failed']}"
        )
        expected = "rolled back automatically, only the canary's share of clients saw errors"
        passed = rolled_back and kept and proportional
        return self._result(
            "d", "failing challenger", expected, observed, passed, began, ROLLOUT_DAG, rollout, seen
        )

    def by_hand(self) -> Result:
        """Trigger a run by the form, with parameters that give a poor model."""
        began = _begin("e", "a person requests a linear model by the form")
        before = self.registry.alias(_MODEL, CHAMPION_ALIAS)
        reason = "is a linear model enough?"
        form = {"partition": "2013-03", "reason": reason, "force": True, "params": {"model": "linear"}}
        run = self._by_form(form)
        version = self._candidate(run)
        verdict = self.api.xcom(TRAINING_DAG, run, "validate_model")
        nominated = self._state(TRAINING_DAG, run, "nominate_challenger")
        noted = self.registry.version(_MODEL, version).tags["mlops.trigger_reason"]
        refused = verdict["outcome"] == "fail" and nominated == "skipped"
        passed = refused and reason in noted and self.registry.alias(_MODEL, CHAMPION_ALIAS) == before
        observed = f"version {version} ({noted}) {verdict['outcome']}: {_reasons(verdict)}"
        expected = "trained with the form's parameters and reason, refused, champion unchanged"
        return self._result("e", "manual run", expected, observed, passed, began, TRAINING_DAG, run, {})

    def _arrive(self, month: str) -> str:
        known = {run["dag_run_id"] for run in self.api.runs(TRAINING_DAG)}
        self.api.announce(_DATA, month)
        run = self.api.wait_for_partition(TRAINING_DAG, month)
        if run in known:
            msg = f"no new training run for {month}"
            raise RuntimeError(msg)
        self._finish(TRAINING_DAG, run)
        return run

    def _by_form(self, form: dict[str, Any]) -> str:
        run = self.api.trigger(TRAINING_DAG, conf=form)
        self._finish(TRAINING_DAG, run)
        return run

    def _finish(self, dag_id: str, run: str) -> str:
        state = str(self.api.wait_for_run(dag_id, run)["state"])
        say(f"   {dag_id}: {state}")
        return state

    def _monitored(self, month: str) -> str:
        run = self.api.wait_for_partition(MONITOR_DAG, month)
        if self._finish(MONITOR_DAG, run) != "success":
            return ""
        verdict = self.api.xcom(MONITOR_DAG, run, "check_performance")
        return str(verdict["findings"][0]["reason"]) if verdict else ""

    def _live(self, month: str) -> None:
        """Replay a month from now on; counts restart."""
        if self.live is not None:
            self.live.stop()
        say(f"   live requests: flights of {month}, {_RATE:g} per second")
        counts = self.services.home / "requests.json"
        self.live = ReplayProcess(self.services.serving.url(_MODEL), month, _RATE, counts)

    def _seen(self) -> dict[str, dict[str, int]]:
        return self.live.read() if self.live is not None else {}

    def _candidate(self, run: str) -> str:
        return str(self.api.xcom(TRAINING_DAG, run, "train_model")["version"])

    def _state(self, dag_id: str, run: str, task: str) -> str | None:
        state: str | None = self.api.tasks(dag_id, run)[task]["state"]
        return state

    def _evidence(self, dag_id: str, run: str) -> str:
        return self.evidence.open(EvidenceKey(model=_MODEL, dag_id=dag_id, run_id=run))

    def _result(
        self,
        scenario: str,
        title: str,
        expected: str,
        observed: str,
        passed: bool,  # noqa: FBT001 - a record's field
        began: float,
        dag_id: str,
        run: str,
        requests: dict[str, dict[str, int]],
    ) -> Result:
        say(f"   {'as expected' if passed else 'NOT AS EXPECTED'}: {observed}")
        return Result(
            scenario=scenario,
            title=title,
            expected=expected,
            observed=observed,
            passed=passed,
            seconds=round(time.monotonic() - began, 1),
            evidence_run=self._evidence(dag_id, run),
            requests=requests,
        )


def _begin(scenario: str, what: str) -> float:
    say(f"{scenario}) {what}")
    return time.monotonic()


def _failed(seen: dict[str, dict[str, int]]) -> int:
    return sum(counts["failed"] for counts in seen.values())


def _reasons(verdict: dict[str, Any]) -> str:
    bad = [f["reason"] for f in verdict.get("findings", ()) if f["outcome"] not in ("pass", "warn")]
    return "; ".join(dict.fromkeys(bad))
