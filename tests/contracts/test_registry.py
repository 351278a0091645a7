"""What every model registry must do; run over memory and over MLflow."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import promotion

from airflow_mlops.backends.registry.mlflow import MlflowRegistry
from airflow_mlops.backends.registry.mlflow_ledger import MlflowLedger
from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS, PREVIOUS
from airflow_mlops.core.errors import InvalidConfigError, RegistryConflictError


def test_model_that_is_not_registered_is_a_cold_start_not_an_error(registry, name):
    assert registry.versions(name) == []
    assert registry.alias(name, CHAMPION_ALIAS) is None
    assert registry.ledger(name) == []


def test_registering_twice_for_one_run_makes_one_version(registry, name, model):
    first = registry.register(name, "run-1", model, {"mlops.partition": "2013-01"})
    assert registry.register(name, "run-1", model, {}) == first
    second = registry.register(name, "run-2", model, {})
    assert [v.version for v in registry.versions(name)] == [second.version, first.version] == ["2", "1"]
    assert first.tags["mlops.partition"] == "2013-01"
    assert first.evidence_run == "run-1"


def test_searches_go_on_to_the_last_page(registry, name, model, monkeypatch):
    monkeypatch.setattr("airflow_mlops.backends.registry.mlflow_ledger._PAGE", 2)
    for number in range(1, 6):
        registry.register(name, f"run-{number}", model, {})
    registry.set_tags(name, "1", {"mlops.validation": "pass"})
    assert [v.version for v in registry.versions(name)] == ["5", "4", "3", "2", "1"]
    assert registry.version(name, "1").evidence_run == "run-1"
    assert registry.register(name, "run-1", model, {}).version == "1"
    assert registry.registered(name, "run-6") is None
    assert len(registry.versions(name)) == 5


def test_version_that_a_killed_try_left_behind_is_removed_and_the_first_stays(mlflow_server, name, model):
    registry = MlflowRegistry(mlflow_server)
    registry.register(name, "run-1", model, {})
    with mlflow_server.session() as client:
        client.create_model_version(name, model, tags={"mlops.evidence_run": "run-1"})
    assert registry.registered(name, "run-1").version == "1"
    assert [v.version for v in registry.versions(name)] == ["1"]


def test_registered_model_without_alias_is_a_cold_start(registry, name, model):
    registry.register(name, "run-1", model, {})
    assert registry.alias(name, CHAMPION_ALIAS) is None


def test_promotion_moves_both_aliases_and_is_written_down(registry, name, model):
    for run in ("run-1", "run-2"):
        registry.register(name, run, model, {})
    registry.promote(promotion(name, None, "1"))
    registry.promote(promotion(name, "1", "2", "run-2"))
    assert (registry.alias(name, CHAMPION_ALIAS), registry.alias(name, PREVIOUS)) == ("2", "1")
    assert [(e.from_version, e.to_version) for e in registry.ledger(name)] == [(None, "1"), ("1", "2")]


def test_promoting_twice_writes_one_entry(registry, name, model):
    registry.register(name, "run-1", model, {})
    first = registry.promote(promotion(name, None, "1"))
    assert registry.promote(replace(promotion(name, None, "1"), at=9.0)) == first
    assert len(registry.ledger(name)) == 1


def test_champion_that_moved_meanwhile_is_not_overwritten(registry, name, model):
    for run in ("run-1", "run-2", "run-3"):
        registry.register(name, run, model, {})
    registry.promote(promotion(name, None, "1"))
    registry.promote(promotion(name, "1", "2", "run-2"))
    with pytest.raises(RegistryConflictError, match="champion is version 2, expected 1"):
        registry.promote(promotion(name, "1", "3", "run-3"))
    assert registry.alias(name, CHAMPION_ALIAS) == "2"
    assert len(registry.ledger(name)) == 2


def test_unknown_version_is_refused_by_name(registry, name, model):
    registry.register(name, "run-1", model, {})
    with pytest.raises(InvalidConfigError, match=r"no version '7'; versions: 1$"):
        registry.version(name, "7")
    with pytest.raises(InvalidConfigError, match=r"no version 'newest'; versions: 1$"):
        registry.version(name, "newest")


def test_message_of_an_unknown_version_lists_the_newest_of_many(registry, name, model):
    for number in range(12):
        registry.register(name, f"run-{number}", model, {})
    with pytest.raises(InvalidConfigError, match=r"12 versions, the newest: 12, 11, .*, 4, 3$"):
        registry.version(name, "77")


def test_tags_are_set_and_model_folder_comes_down(registry, name, model, tmp_path):
    registry.register(name, "run-1", model, {})
    registry.set_tags(name, "1", {"mlops.validation": "pass"})
    assert registry.version(name, "1").tags["mlops.validation"] == "pass"
    assert (registry.download(name, "1", tmp_path) / "MLmodel").is_file()


def test_version_that_is_not_there_is_not_promoted_and_nothing_changes(registry, name, model):
    registry.register(name, "run-1", model, {})
    registry.promote(promotion(name, None, "1"))
    with pytest.raises(InvalidConfigError, match="no version '7'"):
        registry.promote(promotion(name, "1", "7", "run-7"))
    assert (registry.settle(name), len(registry.ledger(name))) == ("1", 1)


def test_entry_keeps_its_place_and_what_it_follows(registry, name, model):
    for run in ("run-1", "run-2"):
        registry.register(name, run, model, {})
    registry.promote(promotion(name, None, "1"))
    second = replace(
        promotion(name, "1", "2", "run-2"), verdicts=("run/validation_report.json",), kind="rollback"
    )
    registry.promote(second)
    kept = registry.ledger(name)
    assert [(e.number, e.after) for e in kept] == [(1, 0), (2, 1)]
    assert (kept[1].verdicts, kept[1].kind) == (second.verdicts, "rollback")


def test_same_version_through_another_run_is_refused_with_the_name_of_the_first(registry, name, model):
    for run in ("run-1", "run-2"):
        registry.register(name, run, model, {})
    registry.promote(promotion(name, None, "1"))
    registry.promote(promotion(name, "1", "2", "run-2"))
    with pytest.raises(RegistryConflictError, match="2 was promoted by admin in m__rollout/run-2"):
        registry.promote(promotion(name, "1", "2", "run-3"))
    assert len(registry.ledger(name)) == 2


def cut_off(registry, monkeypatch, promotion):
    """Promote and be killed after the entry, before the alias."""
    with monkeypatch.context() as patch:
        patch.setattr(MlflowRegistry, "_apply", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            registry.promote(promotion)


@pytest.mark.parametrize("run", ["run-2", "run-3"], ids=["retry", "another run"])
def test_promotion_cut_off_before_the_alias_is_completed_by_the_next_caller(two, name, monkeypatch, run):
    cut_off(two, monkeypatch, promotion(name, "1", "2", "run-2"))
    assert two.alias(name, CHAMPION_ALIAS) == "1"
    if run == "run-2":
        two.promote(promotion(name, "1", "2", run))
    else:
        with pytest.raises(RegistryConflictError, match="champion is version 2, expected 1"):
            two.promote(promotion(name, "1", "3", run))
    assert two.alias(name, CHAMPION_ALIAS) == "2"
    assert [e.to_version for e in two.ledger(name)] == ["1", "2"]


def test_version_deleted_while_it_is_promoted_leaves_the_champion_and_does_not_block(two, name, monkeypatch):
    cut_off(two, monkeypatch, promotion(name, "1", "2", "run-2"))
    with two.server.session() as client:
        client.delete_model_version(name, "2")
    assert (two.settle(name), two.alias(name, PREVIOUS)) == ("1", None)
    two.promote(promotion(name, "1", "3", "run-3"))
    assert [e.to_version for e in two.ledger(name)] == ["1", "3"]


def test_alias_deleted_in_between_is_a_conflict_and_nothing_is_written(two, name):
    with two.server.session() as client:
        client.delete_registered_model_alias(name, CHAMPION_ALIAS)
    with pytest.raises(RegistryConflictError, match="champion is version None, expected 1"):
        two.promote(promotion(name, "1", "2", "run-2"))
    assert (two.alias(name, CHAMPION_ALIAS), len(two.ledger(name))) == (None, 1)


def test_champion_set_by_hand_is_taken_as_it_is(two, name):
    with two.server.session() as client:
        client.set_registered_model_alias(name, CHAMPION_ALIAS, "3")
    two.promote(promotion(name, "3", "2", "run-2"))
    assert [(e.from_version, e.to_version) for e in two.ledger(name)] == [(None, "1"), ("3", "2")]


def test_slow_promoter_puts_the_newest_champion_back(two, name, monkeypatch):
    real = MlflowRegistry._apply

    def slow(self, promoted):
        monkeypatch.setattr(MlflowRegistry, "_apply", real)
        real(self, promoted)  # another process completes it and promotes the next version meanwhile
        self.promote(promotion(name, "2", "3", "run-3"))
        return real(self, promoted)

    monkeypatch.setattr(MlflowRegistry, "_apply", slow)
    two.promote(promotion(name, "1", "2", "run-2"))
    assert two.alias(name, CHAMPION_ALIAS) == "3"


@pytest.mark.parametrize("run", ["run-2", "run-3"], ids=["copy of the same task", "another rollout"])
def test_promotion_that_comes_while_another_is_written_is_that_one_or_refused(two, name, monkeypatch, run):
    real = MlflowLedger.append

    def late(self, claim):
        monkeypatch.setattr(MlflowLedger, "append", real)
        two.promote(promotion(name, "1", "2", "run-2"))
        return real(self, claim)

    monkeypatch.setattr(MlflowLedger, "append", late)
    if run == "run-2":
        assert two.promote(promotion(name, "1", "2", run)).number == 2
    else:
        with pytest.raises(RegistryConflictError, match="2 was promoted by admin in m__rollout/run-2"):
            two.promote(promotion(name, "1", "2", run))
    assert [e.to_version for e in two.ledger(name)] == ["1", "2"]
    assert two.alias(name, CHAMPION_ALIAS) == "2"


def test_entry_holds_at_most_5000_characters_whatever_people_write(two, name):
    long = replace(promotion(name, "1", "2", "run-2"), reason="ü" * 9000, verdicts=("v" * 500,) * 40)
    two.promote(long)
    with two.server.session() as client:
        version = client.search_model_versions(f"name = '{name}.mlops-ledger'")[0]
    assert len(version.tags["mlops.entry"]) <= 5000
    assert two.ledger(name)[-1].reason == "ü" * 1000


def test_entries_of_before_there_were_numbers_are_read_first(two, name):
    old = (
        '{"model": "m", "from_version": null, "to_version": "1", "actor": "a", "dag_id": "d", "run_id": "r", '
    )
    with two.server.session() as client:
        client.set_registered_model_tag(name, "mlops.ledger.000001", old + '"reason": "", "at": 1.0}')
    two.promote(promotion(name, "1", "2", "run-2"))
    assert [e.number for e in two.ledger(name)] == [0, 1, 2]


def test_entry_deleted_by_hand_leaves_a_gap_and_the_rest_counts(two, name):
    two.promote(promotion(name, "1", "2", "run-2"))
    two.promote(promotion(name, "2", "3", "run-3"))
    with two.server.session() as client:
        client.delete_model_version(f"{name}.mlops-ledger", "2")
    two.promote(promotion(name, "3", "1", "run-4"))
    assert [(e.number, e.after) for e in two.ledger(name)] == [(1, 0), (3, 2), (4, 3)]
