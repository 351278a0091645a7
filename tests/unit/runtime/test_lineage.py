from __future__ import annotations

import json
import sys

import pyarrow as pa
import pytest
from builders import finding

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.core.data.profile.profile import Profile
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.verdict import Outcome, Severity, Verdict
from airflow_mlops.runtime.lineage import MOST_ASSERTIONS, MeasuredWindow, dataset_name, lineage_of

TABLE = pa.table(
    {
        "n": [1.0, 2.0, 3.0, 4.0, None],
        "far": pa.array([1000001, 1000002, 1000003, 1000004, 1000005]),
        "t": ["a", "b", "b", None, None],
    }
)


def measured(*findings, uri="s3://conn@bucket/lake/churn/", table=TABLE):
    window = Window(uri=uri, partitions=("2013-01",), digest="sha256:abc", rows=table.num_rows)
    verdict = Verdict.of("schema", findings) if findings else None
    return MeasuredWindow(window=window, profile=profile_table(table), verdict=verdict)


def event_of(found):
    """What goes over the wire: the event as the client serialises it."""
    from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
    from openlineage.client.serde import Serde
    from openlineage.client.uuid import generate_new_uuid

    event = RunEvent(
        eventType=RunState.COMPLETE,
        eventTime="2026-01-01T00:00:00Z",
        run=Run(runId=str(generate_new_uuid())),
        job=Job(namespace="n", name="j"),
        inputs=lineage_of(found).inputs,
        producer="https://example.org",
    )
    return json.loads(Serde.to_json(event))["inputs"][0]


@pytest.mark.parametrize(
    ("uri", "namespace", "name"),
    [
        ("s3://conn@bucket/lake/churn/", "s3://bucket", "lake/churn"),
        ("s3a://bucket/x.parquet", "s3://bucket", "x.parquet"),
        ("s3://bucket", "s3://bucket", "/"),
        ("gs://conn@bucket/lake", "gs://bucket", "lake"),
        ("gcs://bucket/lake", "gs://bucket", "lake"),
        ("file:///lake/churn", "file", "/lake/churn"),
        ("/lake/churn", "file", "/lake/churn"),
        ("memory://lake/churn", "memory://lake", "churn"),
    ],
)
def test_dataset_is_named_by_the_specification_without_its_connection(uri, namespace, name):
    assert dataset_name(uri) == (namespace, name)


def test_event_holds_dataset_schema_partition_and_column_metrics():
    sent = event_of(measured())
    assert (sent["namespace"], sent["name"]) == ("s3://bucket", "lake/churn")
    assert [(f["name"], f["type"]) for f in sent["facets"]["schema"]["fields"]][2] == ("t", "string")
    assert sent["facets"]["version"]["datasetVersion"] == "sha256:abc"
    condition = sent["inputFacets"]["subset"]["inputCondition"]
    assert condition["partitions"] == [{"dimensions": {"partition": "2013-01"}, "identifier": "2013-01"}]
    metrics = sent["inputFacets"]["dataQualityMetrics"]
    assert metrics["rowCount"] == 5
    number = metrics["columnMetrics"]["n"]
    assert {k: number[k] for k in ("nullCount", "count", "sum", "min", "max")} == {
        "nullCount": 1,
        "count": 4.0,
        "sum": 10.0,
        "min": 1.0,
        "max": 4.0,
    }
    assert 2.0 <= number["quantiles"]["0.5"] <= 3.0
    assert metrics["columnMetrics"]["far"]["sum"] == pytest.approx(5000015, abs=1e-6)
    assert metrics["columnMetrics"]["far"]["distinctCount"] == 5
    text = metrics["columnMetrics"]["t"]
    assert (text["nullCount"], text["distinctCount"], "min" in text) == (2, 2, False)


def test_each_finding_is_an_assertion_of_its_column():
    found = measured(
        finding(Outcome.FAIL, "n", "n: too many nulls", observed=0.2, allowed=0.1),
        finding(Outcome.WARN, "t", severity=Severity.WARNING),
        finding(Outcome.PASS, "table"),
    )
    failed, warned, passed = event_of(found)["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert (failed["assertion"], failed["success"], failed["column"]) == ("check", False, "n")
    assert (failed["expected"], failed["actual"], failed["severity"]) == ("0.1", "0.2", "error")
    assert (warned["success"], warned["severity"]) == (False, "warn")
    assert passed["success"] is True
    assert "column" not in passed


def test_event_of_very_many_findings_is_bounded_and_keeps_the_bad_ones():
    found = measured(*[finding(Outcome.PASS, "n")] * 5000, finding(Outcome.FAIL, "n"))
    sent = event_of(found)["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert (len(sent), sent[0]["success"]) == (MOST_ASSERTIONS, False)


def test_empty_and_odd_columns_make_no_trouble():
    table = pa.table(
        {"null": pa.nulls(3), "inf": [float("inf"), float("nan"), None], "list": [[1], [2], None]}
    )
    metrics = event_of(measured(table=table))["inputFacets"]["dataQualityMetrics"]["columnMetrics"]
    assert metrics["null"]["nullCount"] == 3
    assert "sum" not in metrics["inf"]
    assert (
        event_of(MeasuredWindow(window=Window(uri="/x"), profile=Profile(rows=0, columns=())))["name"] == "/x"
    )


def test_nothing_measured_says_nothing():
    assert lineage_of(None) is None


@pytest.mark.parametrize(
    "absent", ["airflow.providers.openlineage.extractors", "openlineage.client.event_v2"]
)
def test_without_the_optional_packages_nothing_breaks_and_nothing_is_said(monkeypatch, absent):
    monkeypatch.setitem(sys.modules, absent, None)
    assert lineage_of(measured()) is None
