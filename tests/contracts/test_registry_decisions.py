"""What every model registry must do with decisions; run over memory and over MLflow."""

from __future__ import annotations

import pytest
from builders import promotion

from airflow_mlops.backends.registry.mlflow_ledger import MlflowLedger
from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS, PREVIOUS, DecisionEntry
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.rollout.end import EndKind, RolloutEnd


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
    registry.promote(promotion(name, None, "1"))
    written = registry.decide(decision(name, "2"))
    assert registry.decisions(name) == [written]
    assert (written.number, written.decision, written.comment) == (2, "rejected", "not on a Friday")
    assert written.verdicts == ("r/report.json",)
    assert (registry.settle(name), registry.alias(name, PREVIOUS)) == ("1", None)
    assert [e.to_version for e in registry.ledger(name)] == ["1"]


def test_promotion_after_a_decision_follows_the_last_change_of_champion(registry, name, model):
    for run in ("run-1", "run-2"):
        registry.register(name, run, model, {})
    registry.promote(promotion(name, None, "1"))
    registry.decide(decision(name, "2", "approved"))
    promoted = registry.promote(promotion(name, "1", "2", "run-2"))
    assert (promoted.number, promoted.after) == (3, 1)
    assert registry.promote(promotion(name, "1", "2", "run-2")) == promoted
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
    assert two.promote(promotion(name, "1", "2", "run-2")).to_version == "2"
    assert two.alias(name, CHAMPION_ALIAS) == "2"


def rollout_end(name, version, end_id="e1", **more):
    said = {"kind": EndKind.STOPPED, "reason": "wrong prices", "actor": "ann", "percent": 25, "at": 3.0}
    return RolloutEnd(id=end_id, model=name, version=version, holder="m__rollout/run-2", **said | more)


def test_end_of_a_rollout_is_an_entry_that_moves_nothing(registry, name, model):
    for run in ("run-1", "run-2"):
        registry.register(name, run, model, {})
    registry.promote(promotion(name, None, "1"))
    written = registry.record_end(rollout_end(name, "2", champion="1", way="page"))
    assert registry.ends(name) == [written]
    assert (written.number, written.dag_id, written.run_id) == (2, "m__rollout", "run-2")
    assert written.sentence == "version 2 stopped at 25 % by ann (page): wrong prices"
    assert (registry.settle(name), len(registry.ledger(name)), registry.decisions(name)) == ("1", 1, [])


def test_end_that_is_recorded_twice_is_one_entry(registry, name, model):
    registry.register(name, "run-1", model, {})
    first = registry.record_end(rollout_end(name, "1"))
    assert registry.record_end(rollout_end(name, "1")) == first
    other = registry.record_end(rollout_end(name, "1", "e2", reason="x" * 9000))
    assert [end.id for end in registry.ends(name)] == ["e1", "e2"]
    assert other.number == first.number + 1
