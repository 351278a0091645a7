"""A real MLflow server is killed amid validation, readiness and reading back, then started again."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from builders import promotion
from fakes.task_instance import TaskInstance
from sklearn.linear_model import LogisticRegression

from airflow_mlops.backends.evidence.mlflow import MlflowEvidence
from airflow_mlops.backends.mlflow_server import MlflowServer
from airflow_mlops.backends.registry.mlflow import MlflowRegistry
from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS
from airflow_mlops.backends.serving.readiness import probe as readiness
from airflow_mlops.core.errors import ServiceUnavailableError
from airflow_mlops.core.release.readiness import ReadinessMeasurements
from airflow_mlops.core.training.job import DatasetSpec
from airflow_mlops.core.validation.policy import ValidationPolicy
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.operators.readiness import CheckReadinessOperator
from airflow_mlops.operators.training import TrainModelOperator
from airflow_mlops.operators.validation import ValidateModelOperator

pytestmark = pytest.mark.integration
SPEC = DatasetSpec(target="late", key=("id",))
POLICY = ValidationPolicy(margin={"log_loss": 0.05}, resamples=200)


def fit(data, params):
    return LogisticRegression().fit(data[["x"]], data["late"])


def execute(operator, run_id):
    dag_run = SimpleNamespace(
        dag_id="m__training", run_id=run_id, partition_key="2013-01", run_type="manual", logical_date=None
    )
    return operator.execute(
        {"dag_run": dag_run, "task": operator, "ti": TaskInstance(), "outlet_events": defaultdict(list)}
    )


@pytest.fixture(autouse=True)
def hooks(service, monkeypatch):
    monkeypatch.setattr(MlflowHook, "server", lambda self: MlflowServer(service.url))


@pytest.fixture(scope="module")
def candidate(service, tmp_path_factory):
    """Version 1 is champion, version 2 the candidate."""
    lake, rng = tmp_path_factory.mktemp("lake"), np.random.default_rng(0)
    x = rng.normal(size=2000)
    late = (rng.random(2000) < 1 / (1 + np.exp(-x))).astype(int)
    frame = pd.DataFrame({"id": [f"r{i}" for i in range(2000)], "x": x, "late": late})
    frame.to_parquet(lake / "2013-01.parquet")
    window = {"uri": str(lake), "partitions": ["2013-01"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MlflowHook, "server", lambda self: MlflowServer(service.url))
        for run in ("run-1", "run-2"):
            train = TrainModelOperator(task_id="t", model="m", function=fit, window=window, data=SPEC)
            found = execute(train, run)
    MlflowRegistry(MlflowServer(service.url)).promote(promotion("m", None, "1"))
    return found


def dying(service, monkeypatch, owner, call, wanted=lambda *_: True):
    """Kill the server just before a call that is asked for."""
    real = getattr(owner, call)

    def called(self, *arguments, **more):
        if wanted(*arguments):
            service.kill()
        return real(self, *arguments, **more)

    monkeypatch.setattr(owner, call, called)


def state(service):
    registry = MlflowRegistry(MlflowServer(service.url))
    return (
        registry.alias("m", CHAMPION_ALIAS),
        [v.version for v in registry.versions("m")],
        len(registry.ledger("m")),
    )


def validate(candidate):
    return execute(
        ValidateModelOperator(task_id="v", model="m", candidate=candidate, data=SPEC, policy=POLICY), "run-2"
    )


IN_VALIDATION = {
    "loading the challenger": (MlflowRegistry, "download", lambda model, version, *_: version == "2"),
    "loading the champion": (MlflowRegistry, "download", lambda model, version, *_: version == "1"),
    "writing the evidence": (MlflowEvidence, "write_json", lambda run, path, *_: "validation" in path),
    "writing the tags": (MlflowEvidence, "set_tags", lambda run, tags, *_: "mlops.validation" in tags),
}


@pytest.mark.parametrize(("owner", "call", "wanted"), IN_VALIDATION.values(), ids=IN_VALIDATION)
def test_server_killed_in_validation_is_a_named_outage_and_the_retry_gives_the_verdict(
    service, candidate, monkeypatch, owner, call, wanted
):
    before = state(service)
    with monkeypatch.context() as patch:
        dying(service, patch, owner, call, wanted)
        with pytest.raises(ServiceUnavailableError, match=f"MLflow at {service.url} does not answer"):
            validate(candidate)
    service.start()
    assert state(service) == before
    assert validate(candidate)["outcome"] == "pass"


def test_server_killed_while_readiness_is_written_is_a_named_outage_and_the_retry_keeps_the_report(
    service, candidate, monkeypatch
):
    before = state(service)
    broken = ReadinessMeasurements(model="m", version="2", unusable="ended while starting")
    monkeypatch.setattr(readiness, "probe_version", lambda *arguments, key: broken)
    check = CheckReadinessOperator(task_id="ready", model="m", candidate=candidate)
    with monkeypatch.context() as patch:
        dying(service, patch, MlflowEvidence, "write_json")
        with pytest.raises(ServiceUnavailableError, match="does not answer"):
            execute(check, "run-2")
    service.start()
    assert state(service) == before
    with pytest.raises(Exception, match="readiness: fail: ended while starting"):
        execute(check, "run-2")
    kept = MlflowEvidence(MlflowServer(service.url)).read_json(
        candidate["evidence_run"], "readiness_report.json"
    )
    assert kept["verdict"]["outcome"] == "fail"


def test_document_that_cannot_be_read_for_an_outage_is_not_called_missing(service, candidate):
    evidence = MlflowEvidence(MlflowServer(service.url))
    evidence.tags(candidate["evidence_run"])  # the server was reached before
    service.kill()
    with pytest.raises(ServiceUnavailableError, match="does not answer"):
        evidence.read_json(candidate["evidence_run"], "candidate.json")
    service.start()
    assert evidence.read_json(candidate["evidence_run"], "candidate.json")["model"] == "m"
