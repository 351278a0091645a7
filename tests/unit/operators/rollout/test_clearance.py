"""Only what passed is deployed: the rollout's tasks ask the registry, each time traffic would rise."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException
from builders import plan

from airflow_mlops.backends.evidence.protocol import EvidenceKey
from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS, DecisionEntry
from airflow_mlops.core.release.clearance import ReleaseGate, ReleaseRule
from airflow_mlops.core.rollout.end import EndKind
from airflow_mlops.core.rollout.state import Phase, RolloutState
from airflow_mlops.operators.rollout import (
    DeployCanaryOperator,
    PromoteModelOperator,
    RollbackOperator,
    SetTrafficOperator,
)

PLAN = plan(bake_seconds=0.0, window_seconds=0.001, deadline_seconds=60.0)
COMMON = {"model": "m", "version": "2"}


def deploy(**more):
    return DeployCanaryOperator(task_id="deploy", plan=PLAN, **COMMON | more)


def shift(state, **more):
    return SetTrafficOperator(task_id="shift", percent=10, state=state, **COMMON | more)


def promote(state, **more):
    passed = RolloutState.from_json(state).to_json() | {"phase": str(Phase.PASSED), "reasons": ["shown"]}
    return PromoteModelOperator(task_id="promote", state=passed, **COMMON | more)


def roll_back():
    return RollbackOperator(task_id="roll_back", **COMMON)


def decide(world, decision, version="2", **more):
    said = {"decision": decision, "actor": "bob", "comment": "not on a Friday", "run_id": decision}
    world.registry.decide(DecisionEntry(model="m", version=version, **said | more))


def started_by(user):
    return SimpleNamespace(
        dag_id="m__stage", run_id="run-1", partition_key="", run_type="manual", triggering_user_name=user
    )


def tagged(world, tags):
    known = world.registry.version("m", "2").tags
    known.clear()
    known.update(tags)


def test_version_that_was_never_validated_is_refused_before_anything_is_changed(champion, run):
    tagged(champion, {})
    with pytest.raises(AirflowFailException, match=r"no validation is recorded .*; train and validate"):
        run(deploy())
    traffic = champion.serving.traffic("m")
    assert (traffic.stable, traffic.canary, traffic.holder) == ("1", None, None)
    (end,) = champion.registry.ends("m")
    assert (end.kind, end.version, end.champion, end.percent) == (EndKind.REFUSED, "2", "1", 0)
    assert (end.holder, "no validation is recorded" in end.reason) == ("m__stage/run-1", True)


def test_version_that_a_person_rejected_is_refused_though_it_was_validated(champion, run):
    decide(champion, "rejected")
    with pytest.raises(AirflowFailException, match="rejected by bob: not on a Friday"):
        run(deploy())


@pytest.mark.parametrize(
    ("decisions", "allowed"),
    [(("rejected", "approved"), True), (("approved", "rejected"), False)],
    ids=["approved at last", "rejected at last"],
)
def test_later_decision_wins(champion, run, decisions, allowed):
    for one in decisions:
        decide(champion, one)
    if allowed:
        assert run(deploy())["version"] == "2"
    else:
        with pytest.raises(AirflowFailException, match="rejected by bob"):
            run(deploy())


def test_decision_about_another_version_does_not_count(champion, run):
    decide(champion, "rejected", version="1")
    assert run(deploy())["version"] == "2"


def test_approval_of_an_earlier_model_of_the_same_name_does_not_count(champion, run):
    champion.registry.now = 5000.0
    champion.registry.register("m", "run-of-3", str(champion.model_dir), {"mlops.validation": "pass"})
    decide(champion, "approved", version="3", at=1000.0)
    rule = ReleaseRule(required=(ReleaseGate.APPROVAL,))
    with pytest.raises(AirflowFailException, match="nobody approved it"):
        run(deploy(version="3", release=rule))


def test_rejection_of_an_earlier_model_of_the_same_name_counts(champion, run):
    champion.registry.now = 5000.0
    champion.registry.register("m", "run-of-3", str(champion.model_dir), {"mlops.validation": "pass"})
    decide(champion, "rejected", version="3", at=1000.0)
    with pytest.raises(AirflowFailException, match="rejected by bob"):
        run(deploy(version="3"))


def test_rejection_after_the_start_ends_the_rollout_before_traffic_rises(champion, run):
    state = run(deploy())
    decide(champion, "rejected")
    with pytest.raises(AirflowFailException, match="rejected by bob"):
        run(shift(state))
    assert champion.serving.traffic("m").canary_percent == 0
    run(roll_back())
    (end,) = champion.registry.ends("m")
    assert (end.kind, end.percent) == (EndKind.REFUSED, 0)
    assert champion.evidence.runs["m__stage/run-1"].tags["mlops.rollout"] == "refused"


def test_rejection_before_the_promotion_moves_neither_traffic_nor_alias(champion, run):
    state = run(shift(run(deploy())))
    decide(champion, "rejected")
    with pytest.raises(AirflowFailException, match="rejected by bob"):
        run(promote(state))
    assert champion.serving.traffic("m").stable == "1"
    assert champion.registry.alias("m", CHAMPION_ALIAS) == "1"
    run(roll_back())
    (end,) = champion.registry.ends("m")
    assert (end.kind, end.percent, end.champion) == (EndKind.REFUSED, 10, "1")


def test_promotion_that_an_earlier_try_made_is_completed_though_a_person_rejects_it_meanwhile(champion, run):
    state = run(shift(run(deploy())))
    first = run(promote(state))
    decide(champion, "rejected")
    assert run(promote(state))["number"] == first["number"]
    assert [end.kind for end in champion.registry.ends("m")] == [EndKind.PROMOTED]


def test_override_by_the_user_who_started_the_run_is_in_the_ledger(champion, run):
    decide(champion, "rejected")
    override = {"override_reason": "hotfix", "release": ReleaseRule(approvers=("ann",))}
    by_ann = {"dag_run": started_by("ann")}
    state = run(shift(run(deploy(**override), **by_ann), **override), **by_ann)
    entry = run(promote(state, **override), **by_ann)
    assert entry["approval"].startswith(
        "overridden by ann: hotfix (m version 2 must not receive traffic: rej"
    )
    assert champion.registry.ledger("m")[-1].approval == entry["approval"]


@pytest.mark.parametrize(
    ("user", "why"), [("eve", "eve may not override it, allowed: ann"), (None, "known by name")]
)
def test_override_by_somebody_else_is_refused(champion, run, user, why):
    tagged(champion, {})
    override = {"override_reason": "hotfix", "release": ReleaseRule(approvers=("ann",))}
    with pytest.raises(AirflowFailException, match=why):
        run(deploy(**override), dag_run=started_by(user))


def test_author_of_a_dag_may_name_who_overrides(champion, run):
    tagged(champion, {})
    assert run(deploy(override_reason="pilot", override_by="ann"))["version"] == "2"


@pytest.mark.parametrize("reason", [None, "", "  "])
def test_empty_override_is_none(champion, run, reason):
    tagged(champion, {})
    with pytest.raises(AirflowFailException, match="no validation"):
        run(deploy(override_reason=reason), dag_run=started_by("ann"))


def test_decided_promotion_names_the_approval_and_no_later_entry_of_another_kind(champion, run):
    state = run(shift(run(deploy())))
    decide(champion, "approved", comment="good")
    decide(champion, "go on", kind="answer")
    assert run(promote(state))["approval"] == "approved by bob: good"


def compared(world, champion, version="2"):
    world.registry.set_tags("m", version, {"mlops.compared_with": champion})


def test_version_compared_with_the_present_champion_is_rolled_out(champion, run):
    compared(champion, "1")
    state = run(shift(run(deploy())))
    assert run(promote(state))["to_version"] == "2"
    assert run(promote(state))["to_version"] == "2"  # a later try, when it is champion itself


@pytest.mark.parametrize(("with_whom", "said"), [("none", "no champion"), ("7", "champion 7")])
def test_version_compared_with_another_champion_is_refused_before_anything_is_changed(
    champion, run, with_whom, said
):
    compared(champion, with_whom)
    why = rf"m version 2 was compared with {said}, and champion is now 1; to compare again, clear validate_mo"
    with pytest.raises(AirflowFailException, match=why):
        run(deploy())
    assert champion.serving.traffic("m").canary is None
    (end,) = champion.registry.ends("m")
    assert (end.kind, end.percent) == (EndKind.REFUSED, 0)


def test_version_whose_stored_report_names_another_champion_is_refused(champion, run):
    """As an earlier release left it: a report in the evidence run, no tag."""
    key = EvidenceKey(model="m", dag_id="m__training", run_id="of-2")
    kept = champion.evidence.open(key)
    champion.evidence.runs["run-of-2"] = champion.evidence.runs.pop(kept)
    champion.evidence.write_json("run-of-2", "validation_report.json", {"versions": {"challenger": "2"}})
    with pytest.raises(AirflowFailException, match="was compared with no champion, and champion is now 1"):
        run(deploy())
    champion.evidence.write_json("run-of-2", "validation_report.json", {"versions": {"champion": "1"}})
    assert run(deploy())["version"] == "2"


def test_approver_may_roll_out_what_was_compared_with_another_champion(champion, run):
    compared(champion, "none")
    override = {"override_reason": "hotfix", "override_by": "ann"}
    assert run(deploy(**override))["version"] == "2"


def test_validated_at_a_cold_start_while_another_version_becomes_champion(champion, run):
    """Two candidates of a cold start: the first is promoted, the second waited in the queue."""
    champion.registry.register("m", "run-of-3", str(champion.model_dir), {"mlops.validation": "pass"})
    compared(champion, "none", version="3")
    with pytest.raises(AirflowFailException, match="version 3 was compared with no champion"):
        run(deploy(version="3"))
    assert champion.registry.alias("m", CHAMPION_ALIAS) == "1"
