"""Where a serving connection says that requests are counted, and what a plan can watch by it."""

from __future__ import annotations

import json
import sqlite3
import traceback
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_mlops.backends.metrics.protocol import Arms
from airflow_mlops.backends.serving.local.metrics import LocalMetrics
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.rollout.counters import Reading
from airflow_mlops.core.rollout.plan import RolloutMetric
from airflow_mlops.hooks.serving import ServingHook
from airflow_mlops.hooks.serving_metrics import TABLE_ADDS

KSERVE = {"backend": "kserve", "models": "s3://m/{endpoint}/{version}"}


@pytest.fixture
def connection(monkeypatch):
    def make(**fields):
        monkeypatch.setenv("AIRFLOW_CONN_C", json.dumps(fields))

    return make


PROMETHEUS = {
    "url": "http://prometheus:9090",
    "requests": 'revision_app_request_count{revision_name="$version"}',
    "errors": 'revision_app_request_count{revision_name="$version",response_code_class="5xx"}',
}


def test_requests_are_counted_where_the_connection_says(connection):
    connection(conn_type="mlops_serving", extra={**KSERVE, "prometheus": PROMETHEUS})
    metrics = ServingHook("c").metrics(
        "demo", SimpleNamespace(labels=lambda endpoint: {"2": f"{endpoint}-2"})
    )
    assert metrics.source.url == "http://prometheus:9090"
    assert metrics.labels() == {"2": "demo-2"}
    connection(conn_type="mlops_serving", extra=KSERVE)
    assert ServingHook("c").metrics("demo", None) is None


@pytest.mark.parametrize("headers", ["Bearer secret", {"Authorization": ["Bearer secret"]}])
def test_headers_that_are_not_understood_are_not_repeated(connection, headers):
    connection(conn_type="mlops_serving", extra={**KSERVE, "prometheus": {**PROMETHEUS, "headers": headers}})
    with pytest.raises(InvalidConfigError, match=r"prometheus\.headers: allowed: a mapping of names") as told:
        ServingHook("c").metrics("demo", None)
    assert "secret" not in "".join(traceback.format_exception(told.value))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"errors": "x"}, "prometheus.errors: 'x', allowed"),
        ({"urls": "x"}, "unknown key 'prometheus.urls'; one of: url, requests, errors, .*did you mean 'url'"),
    ],
)
def test_mistake_about_where_requests_are_counted_is_named(connection, changed, named):
    connection(conn_type="mlops_serving", extra={**KSERVE, "prometheus": {**PROMETHEUS, **changed}})
    with pytest.raises(InvalidConfigError, match=named):
        ServingHook("c").metrics("demo", None)


@pytest.mark.parametrize(
    ("extra", "wanted", "named"),
    [
        ({"backend": "local", "state_dir": "/s"}, "predictions",
         "'predictions' is not measured by back end 'local', allowed: client_errors, errors, latency"
         + TABLE_ADDS),
        (KSERVE, "errors",
         "'errors' is not measured by back end 'kserve' without 'prometheus', allowed: none; "
         "extra 'prometheus' or 'inference_table' says where requests are counted"),
        ({**KSERVE, "prometheus": PROMETHEUS}, "latency",
         "'latency' is not measured by extra 'prometheus', allowed: errors; its key 'fast' "
         "adds latency" + TABLE_ADDS),
        ({**KSERVE, "prometheus": {**PROMETHEUS, "fast": 'b{v="$version",le="1"}'}}, "quality",
         "'quality' is not measured by extra 'prometheus', allowed: errors, latency" + TABLE_ADDS),
        ({**KSERVE, "inference_table": {"conn_id": "db", "table": "answers"}}, "quality",
         "'quality' is not measured by extra 'inference_table', allowed: client_errors, errors; its columns "
         "say what it measures"),
    ],
    ids=["local", "nothing counts", "prometheus", "with a bucket", "table"],
)  # fmt: skip
def test_metric_that_the_connection_cannot_measure_is_refused_by_name(
    connection, extra, wanted, named, monkeypatch
):
    monkeypatch.setenv("AIRFLOW_CONN_DB", '{"conn_type": "sqlite", "host": "/answers.db"}')
    connection(conn_type="mlops_serving", extra=extra)
    with pytest.raises(InvalidConfigError) as refused:
        ServingHook("c").metrics("m", None, (RolloutMetric(wanted),))
    assert str(refused.value) == f"connection 'c': rollout.metrics: {named}"


TABLE = {"conn_id": "db", "table": "answers", "prediction": "score", "edges": [0.5], "settle_seconds": 0}


def test_predictions_are_read_from_the_table_that_the_connection_names(connection, monkeypatch, tmp_path):
    database = sqlite3.connect(tmp_path / "answers.db")
    with database:
        database.execute("CREATE TABLE answers (time REAL, version TEXT, status INT, score REAL)")
        rows = [(101.0, "2", 200, 0.7), (102.0, "2", 500, 0.1), (103.0, "1", 200, 0.6)]
        database.executemany("INSERT INTO answers VALUES (?,?,?,?)", rows)
    database.close()
    monkeypatch.setenv(
        "AIRFLOW_CONN_DB", json.dumps({"conn_type": "sqlite", "host": f"{tmp_path}/answers.db"})
    )
    connection(conn_type="mlops_local_serving", extra={"state_dir": "/s", "inference_table": TABLE})
    source = ServingHook("c").metrics("m", None, (RolloutMetric.ERRORS, RolloutMetric.PREDICTIONS))
    source.check(now=110.0)
    reading = source.read(Arms(canary="2", stable="1"), Reading(until=100.0), now=110.0)
    assert (reading.canary_requests, reading.canary_errors, reading.stable_requests) == (2, 1, 1)
    assert (reading.predictions.canary, reading.predictions.stable) == ((1, 1, 0), (0, 1, 0))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"tabel": "x"}, "unknown key 'inference_table.tabel'.*did you mean 'table'"),
        ({"table": None}, "inference_table"),
        ({"conn_id": "other"}, "connection 'other' of type 'nosuch'"),
        ({"label": "late"}, "inference table answers: label and labelled_at are needed together"),
        ({"edges": [0.6, 0.3]}, "strictly rising"),
    ],
)
def test_mistake_about_the_table_is_named(connection, monkeypatch, wrong, named):
    monkeypatch.setenv("AIRFLOW_CONN_DB", '{"conn_type": "sqlite", "host": "/answers.db"}')
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", '{"conn_type": "nosuch", "host": "h"}')
    connection(conn_type="mlops_serving", extra={**KSERVE, "inference_table": {**TABLE, **wrong}})
    with pytest.raises(InvalidConfigError, match=named):
        ServingHook("c").metrics("m", None)


def test_two_sources_of_counts_are_one_too_many(connection):
    connection(
        conn_type="mlops_serving", extra={**KSERVE, "inference_table": TABLE, "prometheus": PROMETHEUS}
    )
    with pytest.raises(InvalidConfigError, match="both given; allowed: one of them"):
        ServingHook("c").metrics("m", None)


def test_latency_of_a_local_endpoint_comes_from_its_gateway(connection):
    connection(conn_type="mlops_local_serving", extra={"state_dir": "/s"})
    hook = ServingHook("c")
    found = hook.metrics("m", hook.backend(), (RolloutMetric.ERRORS, RolloutMetric.LATENCY))
    assert isinstance(found, LocalMetrics)
    assert found.serving.state_dir == Path("/s")
    assert hook.metrics("m", hook.backend(), (RolloutMetric.ERRORS,)) is None


def test_optional_metric_is_measured_where_it_can_be_and_refused_nowhere(connection):
    wishes = (RolloutMetric.CLIENT_ERRORS, RolloutMetric.LATENCY)
    connection(conn_type="mlops_local_serving", extra={"state_dir": "/s"})
    hook = ServingHook("c")
    local = hook.metrics("m", hook.backend(), (RolloutMetric.ERRORS,), wishes)
    assert RolloutMetric.LATENCY in local.measures
    connection(conn_type="mlops_serving", extra={**KSERVE, "prometheus": PROMETHEUS})
    source = ServingHook("c").metrics("m", SimpleNamespace(), (RolloutMetric.ERRORS,), wishes)
    assert source.measures == {RolloutMetric.ERRORS}
