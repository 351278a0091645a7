from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskAwaitingInput, TaskDeferred

from airflow_mlops.operators.data import ProfileDataOperator
from airflow_mlops.operators.schema import AcceptSchemaOperator, ApproveSchemaOperator, ProposeSchemaOperator

TEXT = """\
name: churn
expectations:
# agreed with the source team
- type: expect_column_values_to_be_in_set
  kwargs: {column: plan, value_set: [a, b]}
- type: expect_column_values_to_not_be_null
  kwargs: {column: plan}
"""
IN_SET = "expect_column_values_to_be_in_set:plan"


@pytest.fixture
def lake(tmp_path):
    folder = tmp_path / "lake"
    folder.mkdir()
    for month, plans in (("2013-01", ["a", "b"]), ("2013-02", ["a", "b", "c"])):
        pq.write_table(pa.table({"plan": plans * 200}), folder / f"{month}.parquet")
    return str(folder)


@pytest.fixture
def schema(tmp_path):
    path = tmp_path / "churn.yaml"
    path.write_text(TEXT)
    return path


def propose(run, schema, lake, **more):
    return run(ProposeSchemaOperator(task_id="p", model="m", schema=str(schema), uri=lake, **more))


def accept(run, schema):
    decision = {"chosen_options": ["Approve"], "responded_by_user": {"id": "1", "name": "ann"}}
    return run(AcceptSchemaOperator(task_id="a", model="m", schema=str(schema), decision=decision))


def test_needed_change_is_proposed_then_written_with_comments_kept(world, lake, schema, run):
    proposed = propose(run, schema, lake)
    assert proposed["changes"] == 1
    assert IN_SET in proposed["text"]
    assert schema.read_text() == TEXT
    assert accept(run, schema) == {"schema": str(schema), "changes": 1, "accepted_by": "ann"}
    assert "# agreed with the source team" in schema.read_text()
    assert "c" in schema.read_text().split("value_set")[1].splitlines()[0]
    kept = world.evidence.runs["m__stage/run-1"].documents
    assert (kept["schema_before.yaml"], kept["schema_after.yaml"]) == (TEXT, schema.read_text())


@pytest.mark.parametrize("empty", [None, ""])
def test_empty_partition_is_the_newest_and_empty_changes_are_the_needed_ones(world, lake, schema, run, empty):
    assert propose(run, schema, lake, partition=empty, changes=empty)["changes"] == 1


def test_partition_that_meets_the_schema_needs_no_change_and_skips(world, lake, schema, run):
    with pytest.raises(AirflowSkipException, match="nothing to accept"):
        propose(run, schema, lake, partition="2013-01")


def test_stored_profile_is_enough_to_propose(world, lake, schema, run, tmp_path):
    run(ProfileDataOperator(task_id="d", model="m", uri=lake, partitions="2013-02"), run_id="before")
    (tmp_path / "lake" / "2013-02.parquet").unlink()
    assert propose(run, schema, lake, partition="2013-02")["changes"] == 1


def test_changes_are_picked_by_their_ids(world, lake, schema, run):
    assert propose(run, schema, lake, changes=f"{IN_SET}, ")["changes"] == 1
    assert propose(run, schema, lake, changes="all")["changes"] > 1
    with pytest.raises(AirflowFailException, match="no change 'expect_nothing'"):
        propose(run, schema, lake, changes=["expect_nothing"])


def test_schema_that_changed_meanwhile_is_not_touched(world, lake, schema, run):
    propose(run, schema, lake)
    schema.write_text(TEXT + "# by hand\n")
    with pytest.raises(AirflowFailException, match="changed since the comparison"):
        accept(run, schema)
    assert schema.read_text() == TEXT + "# by hand\n"


def test_retry_after_the_writing_is_content(world, lake, schema, run):
    propose(run, schema, lake)
    accept(run, schema)
    written = schema.read_text()
    assert accept(run, schema)["changes"] == 1
    assert schema.read_text() == written


def test_schema_on_object_storage_is_changed_there(world, lake, bucket, run):
    bucket.pipe_file("bucket/churn.yaml", TEXT.encode())
    propose(run, "s3://lake@bucket/churn.yaml", lake)
    accept(run, "s3://lake@bucket/churn.yaml")
    assert b"c" in bucket.cat_file("bucket/churn.yaml").split(b"value_set")[1].splitlines()[0]


def test_partition_that_is_not_there_is_named(world, lake, schema, run):
    with pytest.raises(AirflowFailException, match="no partition '2013-09'; partitions: 2013-01, 2013-02"):
        propose(run, schema, lake, partition="2013-09")


ANSWERED = {
    "chosen_options": ["Approve"],
    "params_input": {},
    "responded_at": "2026-01-02T00:00:00+00:00",
    "responded_by_user": {"id": "ann", "name": "Ann"},
}
TASK = SimpleNamespace(id="ti")


def approve(**more):
    return ApproveSchemaOperator(task_id="a", subject="Accept 1 change?", body="it", **more)


def test_every_try_looks_for_an_answer_before_it_asks():
    with pytest.raises(TaskDeferred) as waits:
        approve().execute({"ti": TASK})
    assert (waits.value.trigger.ti_id, waits.value.method_name) == ("ti", "execute_unless_answered")


def test_answer_that_airflow_dropped_holds(forms):
    said = approve().execute_unless_answered({"ti": TASK}, ANSWERED)
    assert (said["chosen_options"], said["responded_by_user"]["name"]) == (["Approve"], "Ann")
    assert forms == []


def test_form_is_shown_when_nobody_has_answered(forms):
    with pytest.raises(TaskAwaitingInput):
        approve().execute_unless_answered({"ti": TASK, "task_instance": TASK}, {})
    assert [(form["ti_id"], form["subject"], form["body"]) for form in forms] == [
        ("ti", "Accept 1 change?", "it")
    ]


def test_question_that_nobody_answers_fails_without_asking_again():
    task = approve(response_timeout=timedelta(days=7))
    with pytest.raises(AirflowFailException, match=r"Accept 1 change\? No answer within 7 days"):
        task.execute_complete({"ti": TASK}, {"error": "late", "error_type": "timeout"})


def test_dropped_answer_fails_nothing_unless_the_author_wants_no_retries():
    assert approve().retries == 2
    with DAG("d", schedule=None, default_args={"retries": 0}):
        assert approve().retries == 0
