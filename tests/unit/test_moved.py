from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from airflow_mlops.moved import MODULES, NEW_NAMES, MovedModules

PACKAGE = Path(importlib.util.find_spec("airflow_mlops").origin).parent
PROGRAMS = """
airflow_mlops.backends.evidence.mlflow MlflowEvidence
airflow_mlops.backends.evidence.protocol EvidenceKey
airflow_mlops.backends.metrics.inference_log read_inference_log
airflow_mlops.backends.mlflow_server MlflowServer
airflow_mlops.backends.registry.mlflow MlflowRegistry
airflow_mlops.backends.registry.protocol CHAMPION ModelVersion
airflow_mlops.backends.registry.watching changes look
airflow_mlops.backends.serving.local LocalServing
airflow_mlops.backends.serving.model_store ModelStore
airflow_mlops.backends.serving.watch first_reading look
airflow_mlops.backends.training.rows held_back_rows read_rows
airflow_mlops.core.data.profile.profile Profile
airflow_mlops.core.data.profile Profile
airflow_mlops.core.data.schema Schema
airflow_mlops.core.data.skew compare_profiles
airflow_mlops.core.data.skew_policy SkewPolicy
airflow_mlops.core.data.window Window
airflow_mlops.core.monitoring.performance_policy PerformancePolicy
airflow_mlops.core.outcome Finding Outcome Verdict
airflow_mlops.core.rollout.evidence ErrorShareTest
airflow_mlops.core.rollout.ledger Reading
airflow_mlops.core.rollout.machine advance begin begin_step
airflow_mlops.core.rollout.plan Metric RolloutPlan Step
airflow_mlops.core.training.job DatasetSpec
airflow_mlops.core.validation.card Statement
airflow_mlops.core.validation.readiness LoadPolicy ReadinessPolicy
airflow_mlops.core.validation.security ExtractionPolicy
airflow_mlops.core.validation.threshold ValidationPolicy
airflow_mlops.dag_factories.config load_config
airflow_mlops.hooks.mlflow MlflowHook
airflow_mlops.hooks.serving RemoteServingHook ServingHook
airflow_mlops.operators.monitoring CheckPerformanceOperator CheckPredictionsOperator
airflow_mlops.operators.monitoring ProfileInferenceLogOperator
airflow_mlops.operators.retraining ReadTrainingRequestOperator
airflow_mlops.operators.rollback RestoreVersionOperator
airflow_mlops.operators.rollout DeployCanaryOperator
airflow_mlops.operators.training TrainModelOperator
airflow_mlops.operators.validation ValidateModelOperator
airflow_mlops.task.evidence open_evidence
airflow_mlops.task.failure fail_fast
"""
"""What DAGs and programs written before import, by module."""
IMPORTED = [(line.split()[0], name) for line in PROGRAMS.strip().splitlines() for name in line.split()[1:]]


def forget(module, name):
    """As in a process that has not asked yet."""
    if isinstance(getattr(getattr(sys.modules.get(module), "__spec__", None), "loader", None), MovedModules):
        del sys.modules[module]
    elif module in sys.modules:
        vars(sys.modules[module]).pop(name, None)


def public_name(module):
    """A function or class if there is one."""
    names = [name for name in vars(module) if not name.startswith("_")]
    own = [name for name in names if getattr(getattr(module, name), "__module__", "") == module.__name__]
    return (own or names)[0]


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize(("old", "new"), MODULES.items())
def test_module_of_before_is_imported_and_says_where_a_name_is_now(old, new):
    module, home = f"airflow_mlops.{old}", importlib.import_module(f"airflow_mlops.{new}")
    name = public_name(home)
    forget(module, name)
    place = f"{home.__name__}.{name}"
    with pytest.warns(DeprecationWarning, match=f"{module}.{name} is {place} now") as told:
        found = getattr(importlib.import_module(module), name)
    assert found is getattr(home, name)
    assert [warning.filename for warning in told] == [__file__]


@pytest.mark.parametrize(("module", "name"), IMPORTED)
def test_what_programs_wrote_is_found(module, name):
    assert getattr(importlib.import_module(module), name) is not None


@pytest.mark.parametrize(("old", "new"), NEW_NAMES.items())
def test_name_of_before_is_found_under_its_new_name(old, new):
    was = old.rpartition(".")
    home, _, name = (new if "." in new else f"{was[0]}.{new}").rpartition(".")
    value = getattr(importlib.import_module(f"airflow_mlops.{home}"), name)
    paths = [path for path in (was[0], *MODULES) if (path == was[0] or MODULES[path] == was[0])]
    served = [path for path in paths if path in MODULES or asks_the_tables(path)]
    assert served, f"no module says that {old} moved"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert all(getattr(importlib.import_module(f"airflow_mlops.{p}"), was[2]) is value for p in served)


def asks_the_tables(path):
    return "names_of(__name__)" in Path(importlib.util.find_spec(f"airflow_mlops.{path}").origin).read_text()


def test_tables_lead_to_what_is_there_at_once():
    assert not {*MODULES.values()} & {*MODULES}
    assert not {new for new in NEW_NAMES.values() if "." in new} & {*NEW_NAMES}


def test_path_that_is_still_there_is_a_package_that_asks_the_tables():
    there = [old for old in MODULES if (PACKAGE / f"{old.replace('.', '/')}.py").exists()]
    assert there == []
    packages = [old for old in MODULES if (PACKAGE / old.replace(".", "/")).is_dir()]
    assert "core.data.schema" in packages
    assert [old for old in packages if not asks_the_tables(old)] == []


def test_a_name_is_told_once():
    code = "import warnings; warnings.simplefilter('always')\n"
    code += "from airflow_mlops.core.validation.threshold import ValidationPolicy\n" * 2
    told = python(code).stderr
    new = "airflow_mlops.core.validation.policy.ValidationPolicy"
    assert (
        told.count(f"DeprecationWarning: airflow_mlops.core.validation.threshold.ValidationPolicy is {new}")
        == 1
    )
    assert "the old path goes with the next release" in told


def test_everything_may_be_imported_at_once():
    assert python("from airflow_mlops.task.failure import *; fail_fast").returncode == 0


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("from airflow_mlops.task.failure import nonsense", "cannot import name 'nonsense'"),
        ("from airflow_mlops.core.data.schema import nonsense", "cannot import name 'nonsense'"),
        ("import airflow_mlops.task.nonsense", "No module named 'airflow_mlops.task.nonsense'"),
        ("import airflow_mlops.nonsense", "No module named 'airflow_mlops.nonsense'"),
    ],
)
def test_what_never_was_is_still_an_import_error(statement, message):
    assert message in python(statement).stderr


def test_modules_of_a_package_that_took_a_path_are_imported_as_ever():
    code = (
        "import sys; from airflow_mlops.core.rollout.evidence import betting\n"
        "assert betting.__name__.endswith('.betting'), betting\n"
        "assert 'airflow_mlops.core.rollout.evidence.share' not in sys.modules"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_finder_is_there_once_and_asked_last():
    importlib.reload(importlib.import_module("airflow_mlops"))
    ours = [finder for finder in sys.meta_path if isinstance(finder, MovedModules)]
    assert len(ours) == 1
    assert not any(isinstance(finder, MovedModules) for finder in sys.meta_path[:2])
