"""Documents written before the package was rearranged are read as they were meant.

``tests/data/before`` holds what the code before it wrote: keep the files as they are. A document's
keys keep their spelling, or today's code reads the old one.
"""

from __future__ import annotations

import json
from dataclasses import astuple, replace
from pathlib import Path

import pytest

from airflow_mlops.backends.registry.ledger_text import decisions_of, rows_of, valid
from airflow_mlops.backends.registry.registry_watch import RegistrySnapshot
from airflow_mlops.backends.rules.schema_file import parse_schema
from airflow_mlops.backends.serving.kubernetes.state import StoredState
from airflow_mlops.backends.serving.local.state import EndpointState, StateFile
from airflow_mlops.backends.serving.remote.state import RemoteState
from airflow_mlops.backends.serving.vertex.labels import read_labels
from airflow_mlops.core.data.partitions import PartitionWait
from airflow_mlops.core.data.profile.profile import Profile, merge
from airflow_mlops.core.data.reference import Reference
from airflow_mlops.core.data.schema.diff import SchemaDiff, apply_changes
from airflow_mlops.core.data.skew.compare import compare_profiles
from airflow_mlops.core.data.skew.policy import SkewPolicy
from airflow_mlops.core.data.skew.report import SkewReport
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.release.approval import ApprovalDecision
from airflow_mlops.core.release.readiness import ReadinessReport
from airflow_mlops.core.rollout.counters import Reading
from airflow_mlops.core.rollout.history import RolloutHistory
from airflow_mlops.core.rollout.lease import Lease, acquire
from airflow_mlops.core.rollout.machine import advance
from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.core.rollout.state import Phase, RolloutState
from airflow_mlops.core.training.candidate import Candidate
from airflow_mlops.core.validation.report import Report
from airflow_mlops.core.verdict import Outcome, Verdict
from airflow_mlops.triggers.data import NewPartitionTrigger

FOLDER = Path(__file__).parents[1] / "data/before"
READERS = {
    "approval.json": ApprovalDecision,
    "candidate.json": Candidate,
    "kubernetes_note.json": StoredState,
    "lease.json": Lease,
    "local_endpoint.json": EndpointState,
    "partition_wait.json": PartitionWait,
    "profile.json": Profile,
    "profile_of_the_next_window.json": Profile,
    "readiness_report.json": ReadinessReport,
    "reference.json": Reference,
    "registry_snapshot.json": RegistrySnapshot,
    "remote_endpoint.json": RemoteState,
    "rollout_plan.json": RolloutPlan,
    "rollout_report.json": RolloutHistory,
    "rollout_state.json": RolloutState,
    "rollout_state_of_an_ab_test.json": RolloutState,
    "rollout_state_passed.json": RolloutState,
    "rollout_state_that_asks.json": RolloutState,
    "skew_policy.json": SkewPolicy,
    "skew_report.json": SkewReport,
    "validation_report.json": Report,
    "verdict.json": Verdict,
    "window.json": Window,
}


def document(name):
    return json.loads((FOLDER / name).read_text())


def old(name):
    return READERS[name].from_json(document(name))


def values(data):
    """The scalar values of a document, in an order that does not depend on its keys."""
    if isinstance(data, dict | list | tuple):
        inner = data.values() if isinstance(data, dict) else data
        return sorted((value for each in inner for value in values(each)), key=repr)
    return [] if data is None else [data]


@pytest.mark.parametrize("name", READERS)
def test_every_value_of_a_document_from_before_is_kept(name):
    ours = document(name)
    ours.pop("reference", None)  # beside the report, not of it
    kept = values(old(name).to_json())
    assert [value for value in values(ours) if value not in kept] == []


def test_profile_from_before_counts_what_it_counted():
    january, february = old("profile.json"), old("profile_of_the_next_window.json")
    amount = january.column("amount")
    assert (january.rows, january.partitions, amount.nulls, amount.nans, amount.infinite) == (
        400,
        ("2013-01",),
        21,
        1,
        1,
    )
    assert (len(amount.edges), sum(amount.counts), amount.minimum, amount.maximum) == (24, 379, 0.0, 5.75)
    assert january.column("carrier").categories == {"UA": 139, "AA": 132, "DL": 129}
    assert january.column("count").distinct == pytest.approx(9, abs=0.1)
    assert merge(january, february).rows == 700


def test_values_without_a_bin_of_a_profile_from_before_are_still_named():
    carrier = old("profile_of_the_next_window.json").column("carrier")
    assert carrier.names_all
    assert carrier.named["??"] == carrier.other == carrier.named_others > 0


def test_profiles_from_before_compare_as_they_did_then():
    """Sizes and verdicts are the same; bounds of categories are wider since unseen values are estimated."""
    now = compare_profiles(
        old("profile.json"), old("profile_of_the_next_window.json"), old("skew_policy.json")
    )
    then = old("skew_report.json")
    assert [test.column for test in now.tests] == [test.column for test in then.tests]
    for new, was in zip(now.tests, then.tests, strict=True):
        assert (new.effect.name, new.effect.value) == (
            was.effect.name,
            pytest.approx(was.effect.value),
        )
        assert (new.skewed, new.effect.lower) == (
            was.skewed,
            pytest.approx(was.effect.lower, abs=0.01),
        )
    assert (now.skewed_columns, now.distributions) == (then.skewed_columns, then.distributions)


def test_skew_report_from_before_says_what_it_said():
    report = old("skew_report.json")
    assert (report.verdict.outcome, report.skewed_columns) == (Outcome.FAIL, ("carrier", "amount"))
    assert (report.multivariate.auc, report.multivariate.columns[0].column) == (0.93, "amount")
    assert (report.reference_rows, report.current_rows) == (400, 300)


def test_schema_from_before_is_read_and_takes_the_changes_proposed_then():
    schema = parse_schema((FOLDER / "schema.yaml").read_text(), "schema.yaml")
    proposal = document("schema_diff.json")
    changes = SchemaDiff.from_json(proposal["diff"]).pick(proposal["ids"])
    assert (schema.name, len(schema.expectations), len(changes)) == ("flights", 21, 3)
    assert schema.expectations[0].kwargs == {"min_value": 40, "max_value": 4000}
    assert tuple(rule for _, rule in apply_changes(schema, changes)) != schema.expectations


def test_rollout_goes_on_from_a_state_of_before_as_it_would_have_then():
    plan, then = old("rollout_plan.json"), document("rollout_state_one_window_later.json")
    now = advance(plan, old("rollout_state.json"), Reading.from_json(then["reading"]), now=then["now"])
    assert replace(now, reasons=()) == replace(RolloutState.from_json(then["state"]), reasons=())
    assert (now.phase, now.step_requests, now.share.e_value > 0) == (Phase.STEPPING, 150, True)


def test_rollout_state_from_before_knows_its_lease_its_readings_and_its_answer():
    state = old("rollout_state_passed.json")
    assert (state.version, state.champion, state.percent, state.phase) == ("7", "6", 50, Phase.PASSED)
    assert (state.lease.token, state.lease.expires_at) == (1, 1300.0)
    assert (state.said.by, state.approved_by, state.said.go_on) == ("ann", "ann", True)
    assert state.retired == ("canary:g1:c1", "stable:g1:s1")
    assert {str(kind): count for kind, count in state.arrivals.items()} == {"applied": 3, "restarted": 1}


def test_rollout_that_was_promoted_before_may_go_on():
    state = RolloutState.from_json(document("rollout_state_promoted.json"))
    assert (state.version, state.percent, state.may_go_on, state.is_open) == ("7", 50, True, False)


def test_ab_test_from_before_keeps_its_interval_and_that_it_is_held():
    state = old("rollout_state_of_an_ab_test.json")
    assert (state.phase, state.intervened, state.reasons) == (Phase.HELD, True, ("INTERVENED: weights",))
    assert state.interval.bounds == (0.125, 2**0.75)


def test_rollout_report_from_before_shows_its_steps():
    history = old("rollout_report.json")
    assert (history.promoted, [step.percent for step in history.steps]) == (True, [10, 50])
    assert (history.requests.canary_requests, history.requests.stable_errors) == (660, 44)


def test_lease_from_before_keeps_its_token():
    lease = old("lease.json")
    assert acquire(lease, "another", now=lease.expires_at, seconds=60.0).token == lease.token + 1


def test_choice_of_the_reference_from_before_is_the_same():
    reference = old("reference.json")
    assert (reference.rule, reference.count, reference.at_least) == ("same_weekday", 3, 2)


def test_trigger_that_was_stored_before_waits_for_the_same_partitions():
    trigger = NewPartitionTrigger(uri="/lake", arrival=document("partition_wait.json"), poll_seconds=60.0)
    wait = old("partition_wait.json")
    assert trigger.serialize()[1]["arrival"] == document("partition_wait.json")
    assert (wait.wants("2013-03"), wait.wants("2013-02"), wait.complete) == (True, False, "marker")


def test_ledger_from_before_lists_its_promotions_and_decisions():
    tags = document("ledger_tags.json")
    numbered = {int(number): found for number, found in tags["numbered"].items()}
    entries = valid(rows_of("flights", numbered, tags["model"]))
    assert [(e.from_version, e.to_version, e.number, e.kind) for e in entries] == [
        (None, "6", 0, "promotion"),
        ("6", "7", 3, "promotion"),
    ]
    assert (entries[1].approval, entries[1].claim) == ("approved by ann: good", "c-1")
    (decision,) = decisions_of("flights", numbered)
    assert (decision.sentence, decision.at) == ("approved by ann: good", 900.0)


def test_local_endpoint_from_before_is_found_where_it_lay(tmp_path):
    (tmp_path / "state.json").write_text((FOLDER / "local_endpoint.json").read_text())
    state = StateFile(tmp_path, "flights").read()
    assert (state.stable, state.canary, state.percent, state.moving) == ("6", "7", 10, True)
    assert (state.gateway.pid, state.lease.token, state.holder) == (11, 1, "flights/2026-11-30")
    assert (state.servers["6"].process.pid, state.servers["6"].workers, state.servers["6"].slot) == (
        12,
        2,
        "s1",
    )
    assert (state.servers["6"].baseline.requests, state.servers["7"].process) == (5, None)


def test_remote_endpoint_from_before_is_the_same_in_every_store():
    remote = old("remote_endpoint.json")
    assert (remote.stable.version, remote.canary.source, remote.percent) == ("6", "models:/flights/7", 10)
    assert (remote.phase, remote.former[0].version, remote.mark) == ("draining", "5", "m1")
    assert remote == old("kubernetes_note.json").state == read_labels(document("vertex_labels.json"))


def test_validation_report_from_before_keeps_its_p_value_and_its_answer():
    report = old("validation_report.json")
    (comparison,) = report.comparisons
    assert 0.004 in astuple(comparison)
    assert (comparison.answer, report.weak_slices[0].gain) == ("not worse", -0.05)


def test_decision_of_a_person_from_before_says_who_and_why():
    decision = old("approval.json")
    assert (decision.answer, decision.by, decision.comment) == ("approved", "ann", "good")
