from __future__ import annotations

import pytest
from fakes.remote_serving import REMOTE
from serving_contract import ME

from airflow_mlops.backends.metrics.protocol import Arms
from airflow_mlops.backends.metrics.version_labels import VersionLabelMetrics
from airflow_mlops.backends.serving.vertex.labels import deployed_id
from airflow_mlops.core.rollout.counters import Reading

LABELS = {
    "kserve-knative": ("demo-predictor-00001", "demo-predictor-00002"),
    "kserve-standard": ("demo-predictor", "demo-v2-predictor"),
    "http_route": ("demo-1", "demo-2"),
    "vertex": (deployed_id("demo", "1"), deployed_id("demo", "2")),
}


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("percent", [0, 40, 100])
def test_versions_are_measured_by_what_serves_them(name, percent, tmp_path):
    stable, canary = LABELS[name]
    with REMOTE[name]() as backend:
        backend.claim("demo", ME)
        backend.deploy("demo", "1", tmp_path, holder=ME)
        assert backend.labels("demo") == {"1": stable}
        backend.promote("demo", "1", holder=ME)
        backend.deploy("demo", "2", tmp_path, holder=ME)
        backend.set_traffic("demo", "2", percent, holder=ME)
        assert backend.labels("demo") == {"1": stable, "2": canary}


class Source:
    """Answers with what it was asked for, as the reading's generation."""

    def read(self, arms, after, *, now):
        return Reading(generation=f"{arms.canary}/{arms.stable}", until=now)


@pytest.mark.parametrize(
    ("arms", "asked"),
    [
        (Arms(canary="2", stable="1"), "two/one"),
        (Arms(canary="2"), "two/None"),
        (Arms(canary="3", stable="1"), None),
        (Arms(canary="2", stable="9"), None),
    ],
    ids=["both", "cold start", "no canary", "no stable"],
)
def test_version_that_is_not_up_has_no_data(arms, asked):
    metrics = VersionLabelMetrics(Source(), lambda: {"1": "one", "2": "two"})
    found = metrics.read(arms, Reading(), now=7.0)
    assert (found and found.generation) == asked
