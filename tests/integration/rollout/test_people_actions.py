"""The short version of ``make chaos-people``: one cell of each cheap kind under a real Airflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ROOT = Path(__file__).parents[3]


def test_people_can_always_end_a_rollout_and_the_next_one_begins(tmp_path):
    command = [sys.executable, "-m", "people", "--cheap", "--folder", str(tmp_path / "people")]
    places = [ROOT / "tests", ROOT / "tests" / "support", ROOT, os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    summary = json.loads((tmp_path / "people" / "summary.json").read_text())
    assert summary["problems"] == []
    assert summary["failed"] == 0
    assert {row["action"] for row in summary["table"]} == {
        "stop by CLI", "delete run", "mark run failed", "two stops at once",
    }  # fmt: skip
