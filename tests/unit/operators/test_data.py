from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_mlops.backends.profiling.arrow import profile_table
from airflow_mlops.backends.registry.protocol import LedgerEntry
from airflow_mlops.core.data.inference import infer_schema
from airflow_mlops.operators.data import CheckSchemaOperator, CheckSkewOperator, ProfileDataOperator
from airflow_mlops.operators.profiles import broken_partitions, champion_profile


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


@pytest.mark.parametrize(
    ("month", "named"), [("2013-05", "0 rows"), ("2013-09", "no partition '2013-09'"), ("../x", "letters")]
)
def test_window_that_cannot_be_used_fails_without_retry(profile, month, named):
    with pytest.raises(AirflowFailException, match=named):
        profile(month)


def test_good_window_passes_and_its_cells_are_used_from_then_on(world, profile, run, schema):
    verdict = run(check(profile("2013-01"), schema), run_id="run-2013-01")
    assert verdict["outcome"] == "pass"
    first, second = (
        world.evidence.read_json(profile(m)["evidence_run"], "profile.json") for m in ("2013-01", "2013-03")
    )
    assert first["columns"][0]["edges"] == second["columns"][0]["edges"]


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
def champion(world, lake):
    tags = {"mlops.uri": str(lake), "mlops.partitions": '["2013-01"]'}
    world.registry.register("m", "training", str(world.model_dir), tags)
    entry = {"model": "m", "from_version": None, "to_version": "1", "actor": "a", "dag_id": "d"}
    world.registry.promote(LedgerEntry(**entry, run_id="r", reason="", at=0.0))


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
    report = world.evidence.read_json(f"m__stage/run-{month}", "skew_report.json")
    assert {test["column"] for test in report["tests"]} == {"x", "c"}


def test_reference_of_several_partitions_adds_up_though_the_window_lacks_a_column(world, champion, run):
    """What was served has no label: the reference's cells for it come from its own first partition."""
    tags = world.registry.version("m", "1").tags
    tags["mlops.partitions"] = '["2013-01", "2013-02", "2013-03"]'
    served = profile_table(table().select(["x"]))
    reference = champion_profile(world.evidence, world.registry, "m", cells=served)
    assert (reference.rows, reference.column("x").edges) == (6000, served.column("x").edges)
    assert reference.column("c").categories == {"a": 3000, "b": 3000}


def test_partition_that_was_never_profiled_is_read_once_for_the_reference(champion, profile, run):
    assert run(skew(profile("2013-03")))["outcome"] == "fail"
