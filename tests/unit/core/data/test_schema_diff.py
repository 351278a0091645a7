from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.core.data.expectations.rule import Rule
from airflow_mlops.core.data.schema.diff import (
    ChangeEffect,
    ChangeKind,
    SchemaDiff,
    apply_changes,
    diff,
    diff_from_data,
)
from airflow_mlops.core.data.schema.infer import infer_schema
from airflow_mlops.core.data.schema.schema import Schema
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.verdict import Severity

NULLS = "expect_column_values_to_not_be_null"
RANGE = "expect_column_values_to_be_between"
SET = "expect_column_values_to_be_in_set"
COLUMNS = "expect_table_columns_to_match_set"
TABLE = pa.table({"x": [1.0, 2.0] * 60, "c": ["a", "b"] * 60, "late": [0, 1] * 60})


def rule(kind=RANGE, *, severity=Severity.CRITICAL, meta=None, **kwargs):
    return Rule(type=kind, kwargs={"column": "x", **kwargs}, severity=severity, meta=meta or {})


def schema(*rules):
    return Schema(name="s", expectations=rules)


def changed(old, changes):
    return replace(old, expectations=tuple(rule for _, rule in apply_changes(old, changes)))


def only(before, after):
    (change,) = diff(schema(before), schema(after)).changes
    return change


def test_schema_does_not_differ_from_itself_nor_for_its_notes():
    noted = replace(rule(min_value=0), notes="checked", description="d", meta={"why": "seen"})
    assert diff(schema(rule(min_value=0)), schema(noted)).changes == ()


@pytest.mark.parametrize(
    ("before", "after", "effect"),
    [
        (rule(min_value=0), rule(min_value=-1), ChangeEffect.LOOSENS),
        (rule(min_value=0), rule(min_value=1), ChangeEffect.TIGHTENS),
        (rule(min_value=0), rule(max_value=1), ChangeEffect.BOTH),
        (rule(min_value=0, max_value=9), rule(min_value=0), ChangeEffect.LOOSENS),
        (rule(min_value=0), rule(min_value=0, max_value=9), ChangeEffect.TIGHTENS),
        (rule(min_value=0, mostly=0.5), rule(min_value=0), ChangeEffect.TIGHTENS),
        (rule(min_value=0), rule(min_value=0, strict_min=True), ChangeEffect.TIGHTENS),
        (rule(SET, value_set=["a"]), rule(SET, value_set=["a", "b"]), ChangeEffect.LOOSENS),
        (rule(SET, value_set=["a"]), rule(SET, value_set=["b"]), ChangeEffect.BOTH),
        (
            rule("expect_column_values_to_not_be_in_set", value_set=["a"]),
            rule("expect_column_values_to_not_be_in_set", value_set=["a", "b"]),
            ChangeEffect.TIGHTENS,
        ),
        (rule(min_value=0), rule(min_value=0, severity=Severity.WARNING), ChangeEffect.LOOSENS),
        (rule(min_value=0), rule(min_value=0, meta={"environments": ["training"]}), ChangeEffect.LOOSENS),
        (rule(min_value=0), rule(min_value="2013-01-01"), ChangeEffect.UNCLEAR),
        (rule("r", regex="a"), rule("r", regex="b"), ChangeEffect.UNCLEAR),
    ],
)
def test_change_says_whether_it_loosens(before, after, effect):
    assert only(before, after).effect is effect


def test_change_says_from_what_to_what():
    change = only(rule(SET, value_set=["a", "b"], mostly=1.0), rule(SET, value_set=["b", "c"], mostly=0.9))
    assert change.sentence == f"{SET}:x: value_set + c - a; mostly 1.0 -> 0.9 (loosens and tightens)"
    assert only(rule(min_value=0), rule(min_value=-5)).sentence == f"{RANGE}:x: min_value 0 -> -5 (loosens)"


def test_order_of_a_set_is_no_change():
    assert (
        diff(schema(rule(SET, value_set=["a", "b"])), schema(rule(SET, value_set=["b", "a"]))).changes == ()
    )


def test_rules_are_added_and_removed_by_name():
    found = diff(schema(rule(min_value=0)), schema(rule(NULLS))).changes
    assert [(c.id, c.kind, c.effect) for c in found] == [
        (f"{RANGE}:x", ChangeKind.REMOVED, ChangeEffect.LOOSENS),
        (f"{NULLS}:x", ChangeKind.ADDED, ChangeEffect.TIGHTENS),
    ]


def test_evolving_by_all_changes_gives_the_new_rules():
    old, new = schema(rule(min_value=0), rule(NULLS)), schema(rule(min_value=-1), rule(SET, value_set=["a"]))
    result = changed(old, diff(old, new).changes)
    assert diff(result, new).changes == ()
    assert changed(old, ()) == old


def test_accepted_change_keeps_notes_ids_and_neighbours():
    mine = replace(rule(min_value=0, meta={"why": "old", "owner": "me"}), notes="n", id="7", description="d")
    old, new = (
        schema(rule(NULLS, mostly=0.5), mine),
        schema(rule(NULLS), rule(min_value=-1, meta={"why": "new"})),
    )
    result = changed(old, diff(old, new).pick([f"{RANGE}:x"]))
    assert result.expectations[0] == old.expectations[0]
    assert result.expectations[1] == replace(
        mine, kwargs={"column": "x", "min_value": -1}, meta={"owner": "me", "why": "new"}
    )


def test_change_nobody_proposed_is_refused_with_those_there_are():
    found = diff(schema(rule(min_value=0)), schema(rule(min_value=1)))
    with pytest.raises(InvalidConfigError, match=f"no change '{RANGE}:y'; changes: {RANGE}:x; did you mean"):
        found.pick([f"{RANGE}:y"])


def test_change_to_a_rule_that_changed_since_is_refused():
    found = diff(schema(rule(min_value=0)), schema(rule(min_value=1)))
    with pytest.raises(InvalidConfigError, match="compare again"):
        changed(schema(rule(min_value=5)), found.changes)


def test_schema_without_a_rule_is_refused():
    found = diff(schema(rule(min_value=0)), schema(rule(NULLS)))
    with pytest.raises(InvalidConfigError, match="leave no rule"):
        changed(schema(rule(min_value=0)), found.changes[:1])


def test_data_like_the_reference_proposes_nothing_and_keeps_what_a_person_added():
    known = infer_schema(profile_table(TABLE), "s", labels=["late"])
    by_hand = rule("expect_column_values_to_match_regex", regex="^a")
    mine = replace(known, expectations=(*known.expectations, by_hand))
    assert diff_from_data(mine, profile_table(TABLE)).changes == ()


def test_data_that_breaks_a_rule_proposes_the_change_that_is_needed():
    known = infer_schema(profile_table(TABLE), "s", labels=["late"])
    moved = TABLE.set_column(1, "c", [["a", "z"] * 60]).append_column("new", [[1.5] * 120])
    found = diff_from_data(known, profile_table(moved))
    needed = [change for change in found.changes if change.needed]
    assert [change.id for change in needed] == [f"{COLUMNS}:table", f"{SET}:c"]
    assert needed[0].sentence == f"{COLUMNS}:table: column_set + new (loosens and tightens)"
    assert needed[1].sentence == f"{SET}:c: value_set + z - b (loosens and tightens)"
    assert {c.after.subject for c in found.changes if c.kind is ChangeKind.ADDED} == {"new"}
    result = changed(known, needed)
    assert not [c for c in diff_from_data(result, profile_table(moved)).changes if c.needed]


def test_rules_of_a_column_that_is_gone_are_proposed_for_removal():
    known = infer_schema(profile_table(TABLE), "s")
    found = diff_from_data(known, profile_table(TABLE.drop_columns(["c"])))
    assert {(c.before.subject, c.kind) for c in found.changes} == {
        ("table", ChangeKind.CHANGED),
        ("c", ChangeKind.REMOVED),
    }


def test_rule_that_is_not_proposed_again_stays_while_the_data_meets_it():
    known = infer_schema(profile_table(pa.table({"flag": [0, 1] * 60, "word": ["a", "b"] * 60})), "s")
    quiet = profile_table(pa.table({"flag": [0] * 120, "word": ["a"] * 120}))
    assert diff_from_data(known, quiet).changes == ()


def test_estimate_changes_no_rule():
    keys = profile_table(pa.table({"k": np.random.default_rng(0).permutation(50_000) * 7}))
    known = infer_schema(keys, "s")
    confirmed = [replace(rule, severity=Severity.CRITICAL, meta={}) for rule in known.expectations]
    changes = diff_from_data(replace(known, expectations=tuple(confirmed)), keys).changes
    assert "expect_column_values_to_be_unique:k" not in {change.id for change in changes}


def test_labels_that_the_data_lacks_are_no_labels_of_it():
    known = infer_schema(profile_table(TABLE), "s", labels=["late"])
    found = diff_from_data(known, profile_table(TABLE.drop_columns(["late"])))
    assert {c.before.subject for c in found.changes if c.kind is ChangeKind.REMOVED} == {"late"}


def test_long_set_is_shortened_in_the_sentence_and_whole_in_the_change():
    values = [f"v{i}" for i in range(40)]
    change = only(rule(NULLS), rule(NULLS, mostly=0.5))
    assert change.sentence == f"{NULLS}:x: mostly none -> 0.5 (loosens)"
    (added,) = diff(schema(rule(NULLS)), schema(rule(NULLS), rule(SET, value_set=values))).changes
    assert added.sentence == f"{SET}:x: added: value_set [v0, v1, v2, v3, v4 and 35 more]"
    assert added.after.kwargs["value_set"] == values
    assert only(rule(SET, value_set=["v0"]), rule(SET, value_set=values)).sentence == (
        f"{SET}:x: value_set + v1, v10, v11, v12, v13 and 34 more (loosens)"
    )


def test_difference_travels_as_json():
    found = diff(schema(rule(min_value=0)), schema(rule(NULLS)))
    assert SchemaDiff.from_json(found.to_json()) == found
