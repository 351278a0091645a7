"""A registered model deleted and made again: its version 1 is another model than the one that serves."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowFailException
from builders import VALIDATED, bring_into_service, plan

from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS
from airflow_mlops.backends.serving.identity import identity_of, require_same_model
from airflow_mlops.backends.serving.in_memory import InMemoryServing
from airflow_mlops.operators.rollback import RestoreVersionOperator
from airflow_mlops.operators.rollout import DeployCanaryOperator
from airflow_mlops.operators.validation import _lost


class Serving(InMemoryServing):
    """Compares identities, as the back ends with servers do."""

    def __init__(self):
        super().__init__()
        self.known = {}

    def deploy(self, endpoint, version, model_dir, *, holder):
        wanted = identity_of(Path(model_dir))
        known = self.known.setdefault((endpoint, version), wanted)
        require_same_model(endpoint, version, known=known, wanted=wanted)
        return super().deploy(endpoint, version, model_dir, holder=holder)


@pytest.fixture
def recreated(champion, tmp_path):
    """Version 1 serves; then the model was made again, and has a validated version 1."""
    champion.serving = Serving()
    bring_into_service(champion.serving, "m", "1", champion.model_dir)
    champion.registry._versions["m"] = []
    champion.registry._aliases.clear()
    register_again(champion, tmp_path / "new")
    return champion


def register_again(world, folder):
    folder.mkdir(exist_ok=True)
    (folder / "MLmodel").write_text("flavors: {other: {}}\n")
    run = f"made-again-{len(world.registry.versions('m'))}"
    return world.registry.register("m", run, str(folder), dict(VALIDATED)).version


def set_by_hand(world, version):
    world.registry._aliases["m", CHAMPION_ALIAS] = version


def restore(run, version="1", **more):
    operator = RestoreVersionOperator(task_id="t", model="m", version=version, reason="new", **more)
    return run(operator, dag_id="mlops__rollback")


def deploy(run, version="1"):
    return run(
        DeployCanaryOperator(task_id="d", model="m", version=version, plan=plan()), dag_id="m__rollout"
    )


def test_rollback_to_a_version_that_only_has_the_number_of_a_champion_needs_force(recreated, run):
    with pytest.raises(AirflowFailException, match="never was champion; it is another model of that number"):
        restore(run)


def test_forced_rollback_does_not_say_done_while_the_old_model_serves(recreated, run):
    with pytest.raises(AirflowFailException, match=r"m: version 1 is another model .*a name of its own"):
        restore(run, force=True)
    seen = recreated.serving.traffic("m")
    assert (seen.stable, seen.holder) == ("1", None)
    assert recreated.registry.alias("m", CHAMPION_ALIAS) is None
    assert len(recreated.registry.ledger("m")) == 1


def test_alias_set_by_hand_does_not_make_the_serving_model_the_new_one(recreated, run):
    set_by_hand(recreated, "1")
    why = r"the champion, version 1, is another model than the one that ledger entry 1 made champion"
    for version in ("1", register_again(recreated, recreated.model_dir.parent / "newer")):
        with pytest.raises(AirflowFailException, match=why):
            deploy(run, version)


@pytest.mark.parametrize("by_hand", [False, True])
def test_model_that_is_registered_again_for_a_free_number_serves_by_force(recreated, run, by_hand):
    if by_hand:
        set_by_hand(recreated, "1")
    version = register_again(recreated, recreated.model_dir.parent / "newer")
    assert restore(run, version, force=True)["to_version"] == version == "2"
    assert recreated.serving.traffic("m").stable == "2"
    assert recreated.registry.alias("m", CHAMPION_ALIAS) == "2"
    third = register_again(recreated, recreated.model_dir.parent / "newest")
    assert deploy(run, third)["champion"] == "2"


def test_validation_says_that_the_champion_of_the_ledger_is_another_model_now(recreated):
    found = _lost(recreated.registry, "m")
    assert found["champion"].startswith("version 1 by the ledger is another model now: it was deleted")
