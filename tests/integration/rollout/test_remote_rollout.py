"""Whole rollouts on KServe, an HTTPRoute and Vertex AI by Airflow: tasks, XComs, trigger, trigger rules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("remote_rollout.py")
BACKENDS = ("kserve-knative", "kserve-standard", "http_route", "vertex")
pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    folder = tmp_path_factory.mktemp("airflow")
    settings = {"AIRFLOW_HOME": str(folder), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(folder)],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", BACKENDS)
def test_good_version_goes_step_by_step_to_all_requests(ended, name):
    good = ended[name]["good"]
    assert good["run"] == "success"
    assert good["tasks"].pop("roll_back") == "skipped"
    assert set(good["tasks"].values()) == {"success"}
    assert good["shares"] == [0, 10, 50, 100]
    assert good["traffic"] == {
        "endpoint": "demo",
        "stable": "2",
        "canary": None,
        "canary_percent": 0,
        "holder": None,
        "changed": "",
    }
    assert ended[name]["champion"] == "2"
    assert ended[name]["asked"]


@pytest.mark.parametrize("name", BACKENDS)
def test_bad_version_is_rolled_back_at_its_first_step_and_the_run_fails(ended, name):
    bad = ended[name]["bad"]
    assert bad["run"] == "failed"
    assert {bad["tasks"][task] for task in ("deploy_canary", "step_1_10pct.set_traffic", "roll_back")} == {
        "success"
    }
    assert bad["tasks"]["step_1_10pct.analyse"] == "failed"
    assert bad["tasks"]["step_2_50pct.set_traffic"] == "upstream_failed"
    assert bad["shares"] == [0, 10, 0]
    seen = bad["traffic"]
    assert (seen["stable"], seen["canary"], seen["holder"]) == ("2", None, None)
