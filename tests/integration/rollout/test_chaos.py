"""The short version of ``make chaos``: each kind of process dies once in rollouts of a real Airflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ROOT = Path(__file__).parents[3]


def test_nothing_is_lost_when_each_kind_of_process_is_killed_once(tmp_path):
    command = [sys.executable, "-m", "chaos", "--kills", "6", "--folder", str(tmp_path / "chaos")]
    places = [ROOT / "tests", ROOT / "tests" / "support", ROOT, os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(map(str, places))
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    summary = json.loads((tmp_path / "chaos" / "summary.json").read_text())
    assert {row["target"] for row in summary["table"]} == {
        "scheduler", "triggerer", "worker", "canary", "stable's sibling", "gateway",
    }  # fmt: skip
    assert summary["kills"] >= 6
    assert summary["problems"] == []
