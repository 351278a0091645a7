"""A version in its real serving process: asked, measured, ended; also when the task is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import mlflow.pyfunc
import pandas as pd
import pytest
from processes import processes_of, until

from airflow_mlops.backends.serving.local.process import find_by_argument
from airflow_mlops.backends.serving.readiness.probe import probe_version
from airflow_mlops.backends.training.mlflow_log import signature
from airflow_mlops.core.release.readiness import LoadPolicy, ReadinessPolicy, judge_readiness
from airflow_mlops.core.verdict import Outcome

pytestmark = pytest.mark.integration
ROWS = pd.DataFrame({"x": [1.0, 2.0], "plan": ["a", "b"]})


@pytest.fixture(autouse=True)
def temporary(monkeypatch, tmp_path):
    """A folder for temporary files that no other test on this machine shares."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


def ours():
    return Path(tempfile.gettempdir()) / f"mlops-readiness-{os.getuid()}"


def saved(folder, answer, **more):
    """A model folder whose predictions are ``answer(rows)``; travels by value."""

    class Answers(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return answer(model_input)

    options = {
        "signature": signature(ROWS),
        "input_example": ROWS,
        "pip_requirements": ["mlflow", "nosuch==2"],
    }
    mlflow.pyfunc.save_model(str(folder / "model"), python_model=Answers(), **options | more)
    return folder / "model"


def tried(model_dir, **policy):
    policy = ReadinessPolicy(requests=30, **policy)
    found = probe_version(model_dir, "m", "1", policy, key=str(model_dir))
    assert list(ours().iterdir()) == []
    assert processes_of(ours()) == []
    return found, judge_readiness(found, policy)


def test_steady_model_is_ready_and_its_needs_are_measured(tmp_path):
    model_dir = saved(tmp_path, lambda rows: rows["x"].fillna(0).clip(-1, 1).to_numpy())
    found, verdict = tried(model_dir, load=LoadPolicy(per_second=4, seconds=5), max_p99_ms=2000)
    assert verdict.outcome is Outcome.WARN
    assert verdict.reasons == ("nosuch: recorded ==2, serving has none",)
    assert {answer.status for answer in found.answers} == {200, 400}
    assert 0 < found.one_by_one.p50_ms <= found.one_by_one.p99_ms < 2000
    assert found.at_once.requests == 30
    assert found.load.per_second > 3.8
    assert 50 < found.rss_mb < 2000
    assert 0 < found.model_mb < 1


def test_model_that_raises_on_one_column_or_answers_nan_is_not_ready(tmp_path):
    def fragile(rows):
        if rows["plan"].isin(["a", "b"]).all():
            return rows["x"].to_numpy()
        raise ValueError("unknown plan")

    _, verdict = tried(saved(tmp_path, fragile))
    assert verdict.outcome is Outcome.FAIL
    raised = [r for r in verdict.reasons if "model raised ValueError: unknown plan" in r]
    assert any(r.startswith("unseen category in plan: status 500") for r in raised)
    assert any(r.startswith("null in x: status 200 (1 predictions are null") for r in verdict.reasons)


def test_model_that_takes_the_server_down_is_named_by_its_row(tmp_path):
    def deadly(rows):
        import os

        return os._exit(3) if rows["x"].isna().any() else rows["x"].to_numpy()

    found, verdict = tried(saved(tmp_path, deadly))
    assert verdict.outcome is Outcome.FAIL
    assert found.unusable == "the server's process ended when it was sent: null in x"


def test_model_that_cannot_be_loaded_is_not_ready(tmp_path):
    model_dir = saved(tmp_path, lambda rows: rows["x"].to_numpy())
    (model_dir / "python_model.pkl").write_bytes(b"broken")
    _, verdict = tried(model_dir)
    assert verdict.outcome is Outcome.FAIL
    assert "ended while starting" in verdict.reasons[0]


@pytest.mark.parametrize("moment", ["while it starts", "while it is asked"])
def test_no_server_outlives_a_task_that_is_killed_and_the_next_try_is_clean(tmp_path, moment):
    model_dir = saved(tmp_path, lambda rows: rows["x"].fillna(0).to_numpy())
    script = f"""
        from pathlib import Path
        from airflow_mlops.backends.serving.readiness.probe import probe_version
        from airflow_mlops.core.release.readiness import LoadPolicy, ReadinessPolicy
        policy = ReadinessPolicy(requests=1, load=LoadPolicy(per_second=5, seconds=60))
        probe_version(Path({str(model_dir)!r}), "m", "1", policy, key={str(model_dir)!r})
    """
    task = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    servers = lambda: find_by_argument(str(task.pid))  # noqa: E731 - its pid is the server's --parent
    until(
        lambda: servers() and (moment == "while it starts" or list(ours().glob("*/log/*/*/*"))),
        "the server",
        60,
    )
    (server,) = servers()
    assert server.is_alive()
    task.kill()
    task.wait()
    until(lambda: not server.is_alive(), "the server to end", 60)
    assert tried(model_dir)[1].outcome is Outcome.WARN
