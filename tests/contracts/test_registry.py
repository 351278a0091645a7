"""What every model registry must do; run over memory and over MLflow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_mlops.backends.mlflow_server import MlflowServer
from airflow_mlops.backends.registry.in_memory import InMemoryRegistry
from airflow_mlops.backends.registry.mlflow import MlflowRegistry
from airflow_mlops.backends.registry.protocol import CHAMPION, PREVIOUS, LedgerEntry
from airflow_mlops.core.errors import InvalidConfigError, RegistryConflictError


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory):
    return MlflowServer(f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model folder that can be registered."""
    import mlflow.pyfunc

    class One(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return [1.0] * len(model_input)

    folder = tmp_path_factory.mktemp("model") / "one"
    mlflow.pyfunc.save_model(folder, python_model=One(), pip_requirements=["mlflow"])
    return str(folder)


@pytest.fixture(params=["in_memory", "mlflow"])
def registry(request, mlflow_server):
    return InMemoryRegistry() if request.param == "in_memory" else MlflowRegistry(mlflow_server)


@pytest.fixture
def name(request):
    return f"m-{abs(hash(request.node.name)) % 10**8}"


def entry(name, from_version, to_version, run="run-1"):
    return LedgerEntry(
        model=name,
        from_version=from_version,
        to_version=to_version,
        actor="admin",
        dag_id="m__rollout",
        run_id=run,
        reason="shown better",
        at=1.0,
    )


def test_model_nobody_registered_is_a_cold_start_not_an_error(registry, name):
    assert registry.versions(name) == []
    assert registry.alias(name, CHAMPION) is None
    assert registry.ledger(name) == []


def test_registering_twice_for_one_run_makes_one_version(registry, name, model):
    first = registry.register(name, "run-1", model, {"mlops.partition": "2013-01"})
    assert registry.register(name, "run-1", model, {}) == first
    second = registry.register(name, "run-2", model, {})
    assert [v.version for v in registry.versions(name)] == [second.version, first.version] == ["2", "1"]
    assert first.tags["mlops.partition"] == "2013-01"
    assert first.evidence_run == "run-1"


def test_registered_model_without_alias_is_a_cold_start(registry, name, model):
    registry.register(name, "run-1", model, {})
    assert registry.alias(name, CHAMPION) is None


def test_promotion_moves_both_aliases_and_is_written_down(registry, name, model):
    for run in ("run-1", "run-2"):
        registry.register(name, run, model, {})
    registry.promote(entry(name, None, "1"))
    registry.promote(entry(name, "1", "2", "run-2"))
    assert (registry.alias(name, CHAMPION), registry.alias(name, PREVIOUS)) == ("2", "1")
    assert [(e.from_version, e.to_version) for e in registry.ledger(name)] == [(None, "1"), ("1", "2")]


def test_promoting_twice_writes_one_entry(registry, name, model):
    registry.register(name, "run-1", model, {})
    first = registry.promote(entry(name, None, "1"))
    assert registry.promote(replace(entry(name, None, "1"), at=9.0)) == first
    assert len(registry.ledger(name)) == 1


def test_champion_that_moved_meanwhile_is_not_overwritten(registry, name, model):
    for run in ("run-1", "run-2", "run-3"):
        registry.register(name, run, model, {})
    registry.promote(entry(name, None, "1"))
    registry.promote(entry(name, "1", "2", "run-2"))
    with pytest.raises(RegistryConflictError, match="champion is version 2, expected 1"):
        registry.promote(entry(name, "1", "3", "run-3"))
    assert registry.alias(name, CHAMPION) == "2"
    assert len(registry.ledger(name)) == 2


def test_unknown_version_is_refused_by_name(registry, name, model):
    registry.register(name, "run-1", model, {})
    with pytest.raises(InvalidConfigError, match="no version '7'"):
        registry.version(name, "7")


def test_tags_are_set_and_model_folder_comes_down(registry, name, model, tmp_path):
    registry.register(name, "run-1", model, {})
    registry.set_tags(name, "1", {"mlops.validation": "pass"})
    assert registry.version(name, "1").tags["mlops.validation"] == "pass"
    assert (registry.download(name, "1", tmp_path) / "MLmodel").is_file()


def test_crash_between_alias_and_ledger_is_made_good_by_the_retry(mlflow_server, model, monkeypatch):
    registry, name = MlflowRegistry(mlflow_server), "m-crash"
    registry.register(name, "run-1", model, {})
    with monkeypatch.context() as patch:
        patch.setattr(MlflowRegistry, "_append", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            registry.promote(entry(name, None, "1"))
    assert (registry.alias(name, CHAMPION), registry.ledger(name)) == ("1", [])
    registry.promote(entry(name, None, "1"))
    assert len(registry.ledger(name)) == 1
