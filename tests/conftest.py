from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "support")]  # builders, fakes; what they stand on
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-mlops-tests-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__CORE__UNIT_TEST_MODE", "False")

settings.register_profile("repeatable", derandomize=True, deadline=None)  # the same examples in every run
settings.load_profile("repeatable")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Tests that share the standing Airflow come last, so that it does not stand idle beside others."""
    items.sort(key=lambda item: "airflow" in item.fixturenames)


@pytest.fixture(scope="session")
def airflow(tmp_path_factory):
    """A real Airflow with MLflow, on free ports; nothing of it is left afterwards."""
    from standing import standing_airflow

    with standing_airflow(tmp_path_factory.mktemp("airflow")) as standing:
        yield standing


@pytest.fixture(scope="session")
def guarded(airflow, tmp_path_factory):
    """The model whose rollouts people watch and processes survive; its first version serves."""
    from guarded_model import PLANS, Guarded

    airflow.api.wait_for_dags(*(f"guarded__{name}" for name in PLANS))
    return Guarded(airflow, tmp_path_factory.mktemp("guarded"))
