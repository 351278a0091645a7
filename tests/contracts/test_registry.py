"""What every model registry must do; run over memory and over MLflow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_mlops.backends.mlflow_server import MlflowServer
from airflow_mlops.backends.registry.in_memory import InMemoryRegistry
from airflow_mlops.backends.registry.mlflow import MlflowRegistry
from airflow_mlops.backends.registry.mlflow_ledger import MlflowLedger
from airflow_mlops.backends.registry.protocol import CHAMPION, PREVIOUS, DecisionEntry, LedgerEntry
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


def test_version_that_is_not_there_is_not_promoted_and_nothing_changes(registry, name, model):
    registry.register(name, "run-1", model, {})
    registry.promote(entry(name, None, "1"))
    with pytest.raises(InvalidConfigError, match="no version '7'"):
        registry.promote(entry(name, "1", "7", "run-7"))
    assert (registry.settle(name), len(registry.ledger(name))) == ("1", 1)


def test_entry_keeps_its_place_and_what_it_follows(registry, name, model):
    for run in ("run-1", "run-2"):
        registry.register(name, run, model, {})
    registry.promote(entry(name, None, "1"))
    second = replace(
        entry(name, "1", "2", "run-2"), verdicts=("run/validation_report.json",), kind="rollback"
    )
    registry.promote(second)
    kept = registry.ledger(name)
    assert [(e.number, e.after) for e in kept] == [(1, 0), (2, 1)]
    assert (kept[1].verdicts, kept[1].kind) == (second.verdicts, "rollback")


def test_same_version_through_another_run_is_refused_with_the_name_of_the_first(registry, name, model):
    for run in ("run-1", "run-2"):
        registry.register(name, run, model, {})
    registry.promote(entry(name, None, "1"))
    registry.promote(entry(name, "1", "2", "run-2"))
    with pytest.raises(RegistryConflictError, match="2 was promoted by admin in m__rollout/run-2"):
        registry.promote(entry(name, "1", "2", "run-3"))
    assert len(registry.ledger(name)) == 2


def decision(name, version, answer="rejected", run="run-1", **more):
    said = {
        "actor": "ann",
        "user": "7",
        "comment": "not on a Friday",
        "at": 2.0,
        "verdicts": ("r/report.json",),
    }
    return DecisionEntry(
        model=name, version=version, decision=answer, dag_id="m__training", run_id=run, **said | more
    )


def test_decision_is_an_entry_that_moves_nothing_and_is_no_change_of_champion(registry, name, model):
    for run in ("run-1", "run-2"):
        registry.register(name, run, model, {})
    registry.promote(entry(name, None, "1"))
    written = registry.decide(decision(name, "2"))
    assert registry.decisions(name) == [written]
    assert (written.number, written.decision, written.comment) == (2, "rejected", "not on a Friday")
    assert written.verdicts == ("r/report.json",)
    assert (registry.settle(name), registry.alias(name, PREVIOUS)) == ("1", None)
    assert [e.to_version for e in registry.ledger(name)] == ["1"]


def test_promotion_after_a_decision_follows_the_last_change_of_champion(registry, name, model):
    for run in ("run-1", "run-2"):
        registry.register(name, run, model, {})
    registry.promote(entry(name, None, "1"))
    registry.decide(decision(name, "2", "approved"))
    promoted = registry.promote(entry(name, "1", "2", "run-2"))
    assert (promoted.number, promoted.after) == (3, 1)
    assert registry.promote(entry(name, "1", "2", "run-2")) == promoted
    registry.decide(decision(name, "1", run="run-9"))
    assert registry.settle(name) == "2"


def test_decision_taken_again_by_a_later_try_is_one_entry(registry, name, model):
    registry.register(name, "run-1", model, {})
    first = registry.decide(decision(name, "1"))
    assert registry.decide(decision(name, "1", at=9.0)) == first
    registry.decide(decision(name, "1", "approved", because="timeout", actor="", user="", comment=""))
    assert [(d.decision, d.because) for d in registry.decisions(name)] == [
        ("rejected", "person"),
        ("approved", "timeout"),
    ]


def test_decision_about_a_version_that_is_not_there_is_refused_and_not_written(registry, name, model):
    registry.register(name, "run-1", model, {})
    with pytest.raises(InvalidConfigError, match="no version '7'"):
        registry.decide(decision(name, "7"))
    assert registry.decisions(name) == []


@pytest.fixture
def two(mlflow_server, model, name):
    """A registry in MLflow with two versions of a model, the first of them champion."""
    registry = MlflowRegistry(mlflow_server)
    for run in ("run-1", "run-2", "run-3"):
        registry.register(name, run, model, {})
    registry.promote(entry(name, None, "1"))
    return registry


def cut_off(registry, monkeypatch, promotion):
    """Promote and be killed after the entry, before the alias."""
    with monkeypatch.context() as patch:
        patch.setattr(MlflowRegistry, "_apply", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            registry.promote(promotion)


@pytest.mark.parametrize("run", ["run-2", "run-3"], ids=["retry", "somebody else"])
def test_promotion_cut_off_before_the_alias_is_completed_by_whoever_comes_next(two, name, monkeypatch, run):
    cut_off(two, monkeypatch, entry(name, "1", "2", "run-2"))
    assert two.alias(name, CHAMPION) == "1"
    if run == "run-2":
        two.promote(entry(name, "1", "2", run))
    else:
        with pytest.raises(RegistryConflictError, match="champion is version 2, expected 1"):
            two.promote(entry(name, "1", "3", run))
    assert two.alias(name, CHAMPION) == "2"
    assert [e.to_version for e in two.ledger(name)] == ["1", "2"]


def test_version_deleted_while_it_is_promoted_leaves_the_champion_and_does_not_block(two, name, monkeypatch):
    cut_off(two, monkeypatch, entry(name, "1", "2", "run-2"))
    with two.server.session() as client:
        client.delete_model_version(name, "2")
    assert (two.settle(name), two.alias(name, PREVIOUS)) == ("1", None)
    two.promote(entry(name, "1", "3", "run-3"))
    assert [e.to_version for e in two.ledger(name)] == ["1", "3"]


def test_alias_deleted_in_between_is_a_conflict_and_nothing_is_written(two, name):
    with two.server.session() as client:
        client.delete_registered_model_alias(name, CHAMPION)
    with pytest.raises(RegistryConflictError, match="champion is version None, expected 1"):
        two.promote(entry(name, "1", "2", "run-2"))
    assert (two.alias(name, CHAMPION), len(two.ledger(name))) == (None, 1)


def test_champion_set_by_hand_is_taken_as_it_is(two, name):
    with two.server.session() as client:
        client.set_registered_model_alias(name, CHAMPION, "3")
    two.promote(entry(name, "3", "2", "run-2"))
    assert [(e.from_version, e.to_version) for e in two.ledger(name)] == [(None, "1"), ("3", "2")]


def test_slow_promoter_puts_the_newest_champion_back(two, name, monkeypatch):
    real = MlflowRegistry._apply

    def slow(self, promoted):
        monkeypatch.setattr(MlflowRegistry, "_apply", real)
        real(self, promoted)  # somebody completes it and promotes the next version meanwhile
        self.promote(entry(name, "2", "3", "run-3"))
        return real(self, promoted)

    monkeypatch.setattr(MlflowRegistry, "_apply", slow)
    two.promote(entry(name, "1", "2", "run-2"))
    assert two.alias(name, CHAMPION) == "3"


def test_entry_holds_at_most_5000_characters_whatever_people_write(two, name):
    long = replace(entry(name, "1", "2", "run-2"), reason="ü" * 9000, verdicts=("v" * 500,) * 40)
    two.promote(long)
    with two.server.session() as client:
        version = client.search_model_versions(f"name = '{name}.mlops-ledger'")[0]
    assert len(version.tags["mlops.entry"]) <= 5000
    assert two.ledger(name)[-1].reason == "ü" * 1000


@pytest.mark.parametrize("letter", ["ü", '"', "\x01"])
def test_decision_holds_at_most_5000_characters_whatever_people_write(two, name, letter):
    long = decision(name, "2", comment=letter * 9000, verdicts=("v" * 500,) * 40)
    two.decide(long)
    with two.server.session() as client:
        found = client.search_model_versions(f"name = '{name}.mlops-ledger'")
    text = next(v.tags["mlops.decision"] for v in found if "mlops.decision" in v.tags)
    assert len(text) <= 5000
    kept = two.decisions(name)[-1].comment
    assert set(kept) == {letter}
    assert len(kept) >= 250


def test_decision_written_twice_at_the_same_moment_counts_once(two, name):
    for _ in range(2):
        two._ledger.append_decision(decision(name, "2"))
    assert [d.number for d in two.decisions(name)] == [2]


def test_decision_between_reading_and_writing_makes_no_promotion_lose(two, name, monkeypatch):
    real = MlflowLedger.append

    def slow(self, promoted):
        two.decide(decision(name, "3"))
        return real(self, promoted)

    monkeypatch.setattr(MlflowLedger, "append", slow)
    assert two.promote(entry(name, "1", "2", "run-2")).to_version == "2"
    assert two.alias(name, CHAMPION) == "2"


def test_entries_of_before_there_were_numbers_are_read_first(two, name):
    old = (
        '{"model": "m", "from_version": null, "to_version": "1", "actor": "a", "dag_id": "d", "run_id": "r", '
    )
    with two.server.session() as client:
        client.set_registered_model_tag(name, "mlops.ledger.000001", old + '"reason": "", "at": 1.0}')
    two.promote(entry(name, "1", "2", "run-2"))
    assert [e.number for e in two.ledger(name)] == [0, 1, 2]


def test_entry_deleted_by_hand_leaves_a_gap_and_the_rest_counts(two, name):
    two.promote(entry(name, "1", "2", "run-2"))
    two.promote(entry(name, "2", "3", "run-3"))
    with two.server.session() as client:
        client.delete_model_version(f"{name}.mlops-ledger", "2")
    two.promote(entry(name, "3", "1", "run-4"))
    assert [(e.number, e.after) for e in two.ledger(name)] == [(1, 0), (3, 2), (4, 3)]
