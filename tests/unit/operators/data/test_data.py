from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_mlops.backends.evidence.protocol import EvidenceKey
from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.core.data.profile.column import Column, Kind
from airflow_mlops.core.data.profile.profile import Profile
from airflow_mlops.core.data.schema.infer import infer_schema
from airflow_mlops.core.data.window import Window
from airflow_mlops.operators.data import (
    CheckSchemaOperator,
    CheckSkewOperator,
    ProfileDataOperator,
    ProfileRef,
    read_window_of,
)
from airflow_mlops.runtime.profiles import StoredProfiles, broken_partitions

ASKING = EvidenceKey(model="m", dag_id="m__stage", run_id="asking")


def table(shift=0.0, rows=2000):
    return pa.table({"x": [shift + i % 97 / 10 for i in range(rows)], "c": ["a", "b"] * (rows // 2)})


@pytest.fixture
def lake(tmp_path):
    folder = tmp_path / "lake"
    folder.mkdir()
    for month, shift in (("2013-01", 0.0), ("2013-02", 0.0), ("2013-03", 5.0)):
        pq.write_table(table(shift), folder / f"{month}.parquet")
    pq.write_table(table().rename_columns(["renamed", "c"]), folder / "2013-04.parquet")
    pq.write_table(table().slice(0, 0), folder / "2013-05.parquet")
    return folder


@pytest.fixture
def schema(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text(infer_schema(profile_table(table()), "m").to_yaml())
    return str(path)


@pytest.fixture
def profile(lake, run):
    def of(month):
        operator = ProfileDataOperator(task_id="p", model="m", uri=str(lake), partitions=month)
        return run(operator, run_id=f"run-{month}", partition=month)

    return of


def check(profile, schema):
    return CheckSchemaOperator(task_id="s", model="m", profile=profile, schema=schema)


def test_profile_is_kept_and_only_its_place_is_handed_over(world, profile):
    ref = profile("2013-01")
    assert (ref["rows"], ref["window"]["partitions"], ref["path"]) == (2000, ["2013-01"], "profile.json")
    assert world.evidence.read_json(ref["evidence_run"], "profile.json")["rows"] == 2000
    assert world.evidence.tags(ref["evidence_run"])["mlops.profile.partition"] == "2013-01"
    assert len(str(ref)) < 1000


@pytest.mark.parametrize(("target", "labelled"), [("", 6), ("y", 4), ("absent", 6)])
def test_rows_with_a_label_are_counted(tmp_path, run, target, labelled):
    pq.write_table(pa.table({"x": range(6), "y": [1, None, 0, 1, None, 1]}), tmp_path / "p.parquet")
    operator = ProfileDataOperator(task_id="p", model="m", uri=str(tmp_path), target=target)
    ref = run(operator)
    assert (ref["rows"], ref["labelled"]) == (6, labelled)


@pytest.mark.parametrize(
    ("month", "named"),
    [("2013-05", "0 rows"), ("2013-09", "no partition '2013-09'"), ("../x", "no partition '../x'")],
)
def test_window_that_cannot_be_used_fails_without_retry(profile, month, named):
    with pytest.raises(AirflowFailException, match=named):
        profile(month)


def test_good_window_passes_and_its_categories_are_used_from_then_on(world, profile, run, schema):
    verdict = run(check(profile("2013-01"), schema), run_id="run-2013-01")
    assert verdict["outcome"] == "pass"
    first, second = (
        world.evidence.read_json(profile(m)["evidence_run"], "profile.json") for m in ("2013-01", "2013-03")
    )
    assert first["columns"][1]["categories"].keys() == second["columns"][1]["categories"].keys()
    assert first["columns"][0]["edges"] != second["columns"][0]["edges"]  # numbers have bins of their own


def test_broken_schema_keeps_its_report_then_fails_without_retry(world, profile, run, schema):
    ref = profile("2013-04")
    with pytest.raises(AirflowFailException, match="x: no such column; columns: renamed, c"):
        run(check(ref, schema), run_id="run-2013-04")
    assert world.evidence.read_json(ref["evidence_run"], "schema_report.json")["outcome"] == "fail"
    assert broken_partitions(world.evidence, "m") == {"2013-04"}


def test_partition_delivered_again_in_order_is_broken_no_more(world, lake, profile, run, schema):
    with pytest.raises(AirflowFailException):
        run(check(profile("2013-04"), schema), run_id="run-2013-04")
    pq.write_table(table(), lake / "2013-04.parquet")
    operator = ProfileDataOperator(task_id="p", model="m", uri=str(lake), partitions="2013-04")
    run(check(run(operator, run_id="again"), schema), run_id="again")
    assert broken_partitions(world.evidence, "m") == set()


def test_schema_that_is_not_there_says_how_to_get_one(profile, run):
    with pytest.raises(AirflowFailException, match="airflow-mlops schema infer"):
        run(check(profile("2013-01"), "/nowhere.yaml"))


def skew(profile, **more):
    return CheckSkewOperator(task_id="k", model="m", profile=profile, **more)


@pytest.fixture
def champion(trained_champion, lake):
    trained_champion(lake)


def test_without_a_champion_skew_is_inconclusive(profile, run):
    verdict = run(skew(profile("2013-01")))
    assert verdict["outcome"] == "inconclusive"
    assert "no champion yet" in verdict["findings"][0]["reason"]


@pytest.mark.parametrize(("month", "outcome"), [("2013-02", "pass"), ("2013-03", "fail")])
def test_window_is_compared_with_the_champions_and_never_fails_the_task(
    world, champion, profile, run, month, outcome
):
    profile("2013-01")
    verdict = run(skew(profile(month), gate="drift"), run_id=f"run-{month}")
    assert (verdict["gate"], verdict["outcome"]) == ("drift", outcome)
    report = world.evidence.read_json(f"m__stage/run-{month}", "drift_report.json")
    assert {test["column"] for test in report["tests"]} == {"x", "c"}


def test_reference_of_several_partitions_adds_up_though_the_window_lacks_a_column(world, champion, run):
    """What was served has no label: the reference's cells for it come from its own first partition."""
    tags = world.registry.version("m", "1").tags
    tags["mlops.partitions"] = '["2013-01", "2013-02", "2013-03"]'
    served = profile_table(table().select(["x"]))
    stored = StoredProfiles(store=world.evidence, model="m", run=ASKING)
    reference = stored.champion(world.registry, served)
    assert (reference.rows, reference.column("x").present) == (6000, 6000)
    assert reference.column("c").categories == {"a": 3000, "b": 3000}


def test_partition_that_was_never_profiled_is_read_once_for_the_reference(champion, profile, run):
    assert run(skew(profile("2013-03")))["outcome"] == "fail"


def xcom_bytes(value):
    return len(json.dumps(value))


@pytest.fixture
def wide(world):
    """A stored profile of 10,000 columns without a value."""
    names = [f"a_rather_long_name_of_a_column_{i}" for i in range(10_000)]
    columns = tuple(Column(name=name, kind=Kind.BOOLEAN, arrow_type="bool", nulls=900) for name in names)
    run = world.evidence.open(EvidenceKey(model="m", dag_id="m__stage", run_id="wide"))
    world.evidence.write_json(run, "profile.json", Profile(rows=900, columns=columns).to_json())
    window = Window(uri="/lake/wide", partitions=("2013-01",))
    return ProfileRef(window=window, evidence_run=run, path="profile.json", rows=900).to_json()


def test_schema_verdict_of_ten_thousand_findings_fits_the_hand_over(world, wide, run, tmp_path):
    rules = [
        {
            "type": "expect_column_values_to_not_be_null",
            "kwargs": {"column": f"a_rather_long_name_of_a_column_{i}"},
            "severity": "warning" if i < 9_999 else "critical",
        }
        for i in range(10_000)
    ]
    path = tmp_path / "wide.yaml"
    path.write_text(json.dumps({"name": "wide", "expectations": rules}))
    with pytest.raises(AirflowFailException, match="column_9999: ") as caught:
        run(check(wide, str(path)))
    assert len(str(caught.value)) < 10_000
    path.write_text(json.dumps({"name": "wide", "expectations": rules[:-1]}))
    verdict = run(check(wide, str(path)))
    assert (verdict["outcome"], verdict["findings_total"]) == ("warn", 9_999)
    assert xcom_bytes(verdict) <= 10_000
    assert len(verdict["findings"]) > 20
    report = world.evidence.read_json(verdict["report"]["evidence_run"], verdict["report"]["path"])
    assert len(report["findings"]) == 9_999


def test_skew_verdict_of_ten_thousand_columns_fits_the_hand_over(world, wide, run):
    before = world.evidence.open(EvidenceKey(model="m", dag_id="m__stage", run_id="before"))
    known = world.evidence.read_json(wide["evidence_run"], "profile.json")
    for column in known["columns"]:
        column |= {"categories": {"true": 900, "false": 0}, "nulls": 0}
    world.evidence.write_json(before, "profile.json", known)
    verdict = run(skew(wide, reference=wide | {"evidence_run": before}))
    assert xcom_bytes(verdict) <= 10_000
    assert verdict["findings_total"] > len(verdict["findings"]) > 10


def test_window_of_a_thousand_partitions_is_handed_over_by_its_ends(world, tmp_path, run, schema):
    folder = tmp_path / "many"
    folder.mkdir()
    keys = [f"{year}-{month:02}" for year in range(1900, 1984) for month in range(1, 13)][:1000]
    for key in keys:
        (folder / f"{key}.csv").write_text("x,c\n1.0,a\n")
    ref = run(ProfileDataOperator(task_id="p", model="m", uri=str(folder), partitions=keys))
    assert xcom_bytes(ref) < 1000
    assert ref["window"]["partitions"] == [keys[0], keys[-1]]
    whole = read_window_of(world.evidence, ProfileRef.from_json(ref))
    assert (list(whole.partitions), whole.digest) == (keys, ref["window"]["digest"])


def test_button_leads_to_the_report_beside_the_run(world, profile, run, schema):
    operator = check(profile("2013-01"), schema)
    run(operator, run_id="run-2013-01")
    links = {link.name: world.context["ti"].link(type(link)) for link in operator.operator_extra_links}
    run_url = "http://mlflow/m__stage/run-2013-01"
    assert links == {"Evidence run": run_url, "Full report": f"{run_url}/artifacts/schema_report.json"}


@pytest.mark.parametrize(
    ("operator", "named"),
    [
        (ProfileDataOperator(task_id="p", model="m", uri="s3://key:pw@b/x"), "holds a password"),
        (ProfileDataOperator(task_id="p", model="m", uri="s4://b/x"), "scheme 's4'"),
        (CheckSchemaOperator(task_id="s", model="m", profile={}, schema="x"), "not a ProfileRef: window"),
        (CheckSkewOperator(task_id="k", model="m", profile="None"), "not a ProfileRef"),
    ],
)
def test_input_that_is_not_understood_fails_without_retry(world, run, operator, named):
    with pytest.raises(AirflowFailException, match=named):
        run(operator)


def test_unknown_environment_fails_without_retry(profile, run, schema):
    operator = CheckSchemaOperator(
        task_id="s", model="m", profile=profile("2013-01"), schema=schema, environment="trainin"
    )
    with pytest.raises(AirflowFailException, match="environment 'trainin'; one of: training, serving"):
        run(operator)


def test_column_of_the_schema_that_is_gone_keeps_the_report_then_fails(world, profile, run, tmp_path):
    path = tmp_path / "gone.yaml"
    rule = {"type": "expect_column_values_to_match_regex", "kwargs": {"column": "gone", "regex": "a"}}
    path.write_text(json.dumps({"name": "m", "expectations": [rule]}))
    with pytest.raises(AirflowFailException, match="gone"):
        run(check(profile("2013-01"), str(path)), run_id="run-2013-01")
    assert world.evidence.read_json("m__stage/run-2013-01", "schema_report.json")["outcome"] == "error"
