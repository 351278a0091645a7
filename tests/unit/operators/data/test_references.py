"""What a window is compared with: stored profiles, chosen by rule, whatever became of their files."""

from __future__ import annotations

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_mlops.core.data.reference import Reference
from airflow_mlops.links import FullReportLink
from airflow_mlops.operators.data import CheckSkewOperator, ProfileDataOperator

MONDAYS = ("2013-02-04", "2013-02-11", "2013-02-18", "2013-02-25")
SUNDAYS = ("2013-02-03", "2013-02-10", "2013-02-17", "2013-02-24")


def rows(shift=0.0):
    return pa.table({"x": [shift + i % 97 / 10 for i in range(1000)], "c": ["a", "b"] * 500})


@pytest.fixture
def lake(tmp_path):
    """Days; everything is much larger on Sundays."""
    folder = tmp_path / "lake"
    folder.mkdir()
    for day in MONDAYS:
        pq.write_table(rows(), folder / f"{day}.parquet")
    for day in SUNDAYS:
        pq.write_table(rows(5.0), folder / f"{day}.parquet")
    return folder


@pytest.fixture
def profile(lake, run):
    def of(day, **more):
        operator = ProfileDataOperator(task_id="p", model="m", uri=str(lake), partitions=day)
        return run(operator, run_id=f"run-{day}", partition=day)

    return of


@pytest.fixture
def history(profile):
    """Everything before the last Monday is profiled, in the order it came."""
    for day in sorted((*MONDAYS[:-1], *SUNDAYS)):
        profile(day)


def skew(profile, run, reference, run_id="now", **more):
    operator = CheckSkewOperator(task_id="k", model="m", profile=profile, reference=reference, **more)
    return run(operator, run_id=run_id)


def used(world, run_id="now"):
    return world.evidence.read_json(f"m__stage/{run_id}", "skew_report.json")["reference"]["partitions"]


@pytest.mark.parametrize(
    ("reference", "days", "outcome"),
    [
        ({"rule": "last", "count": 1}, SUNDAYS[-1:], "fail"),
        ({"rule": "same_weekday", "count": 2}, MONDAYS[1:3], "pass"),
        ("same_weekday", MONDAYS[:3], "pass"),
        (Reference(rule="partitions", partitions=(MONDAYS[0],)), MONDAYS[:1], "pass"),
    ],
)
def test_window_is_compared_with_the_partitions_of_the_rule(
    world, history, profile, run, reference, days, outcome
):
    verdict = skew(profile(MONDAYS[-1]), run, reference)
    assert (verdict["outcome"], tuple(used(world))) == (outcome, days)


def test_stored_profiles_outlive_their_files(world, lake, history, profile, run):
    now = profile(MONDAYS[-1])
    shutil.rmtree(lake)
    assert skew(now, run, "same_weekday")["outcome"] == "pass"
    assert used(world) == list(MONDAYS[:3])


def test_run_of_an_old_partition_is_never_compared_with_newer_ones(world, history, profile, run):
    skew(profile(MONDAYS[1]), run, {"rule": "last", "count": 9})
    assert used(world) == ["2013-02-03", "2013-02-04", "2013-02-10"]


def test_partition_that_broke_its_schema_is_left_out_and_named(world, history, profile, run):
    world.evidence.set_tags(f"m__stage/run-{MONDAYS[2]}", {"mlops.profile.valid": "false"})
    now = profile(MONDAYS[-1])
    skew(now, run, "same_weekday")
    assert used(world) == list(MONDAYS[:2])
    verdict = skew(now, run, {"rule": "partitions", "partitions": [MONDAYS[2]]})
    assert verdict["outcome"] == "inconclusive"
    assert f"{MONDAYS[2]}: did not meet its schema" in verdict["findings"][0]["reason"]


def test_too_few_partitions_are_inconclusive_with_the_reason(world, history, profile, run):
    verdict = skew(profile(MONDAYS[-1]), run, {"rule": "same_weekday", "at_least": 4})
    assert verdict["outcome"] == "inconclusive"
    named = "2013-02-04, 2013-02-11, 2013-02-18; needed: 4 or more"
    assert named in verdict["findings"][0]["reason"]
    report = world.evidence.read_json("m__stage/now", "skew_report.json")
    assert report["verdict"]["outcome"] == "inconclusive"


def test_partition_without_a_profile_is_read_once_then_kept(world, lake, profile, run):
    wanted, now = {"rule": "partitions", "partitions": [MONDAYS[0]]}, profile(MONDAYS[-1])
    assert skew(now, run, wanted)["outcome"] == "pass"
    (lake / f"{MONDAYS[0]}.parquet").unlink()
    assert skew(now, run, wanted, run_id="later")["outcome"] == "pass"
    assert used(world, "later") == [MONDAYS[0]]


def test_partition_that_is_gone_and_was_never_profiled_says_so(world, profile, run):
    verdict = skew(profile(MONDAYS[-1]), run, {"rule": "partitions", "partitions": ["2012-12-31"]})
    assert verdict["outcome"] == "inconclusive"
    assert "no partition '2012-12-31'" in verdict["findings"][0]["reason"]


def test_profile_of_another_dataset_of_the_model_is_never_taken(world, lake, tmp_path, profile, run):
    profile(MONDAYS[-2])
    other = tmp_path / "other"
    shutil.copytree(lake, other)
    elsewhere = ProfileDataOperator(task_id="p", model="m", uri=str(other), partitions=MONDAYS[-1])
    assert skew(run(elsewhere, run_id="else"), run, "last")["outcome"] == "inconclusive"


def test_profile_of_an_older_release_is_passed_over(world, lake, history, profile, run):
    for kept in world.evidence.runs.values():
        kept.documents["profile.json"]["format"] = 1
    now = profile(MONDAYS[-1])
    assert skew(now, run, "same_weekday")["outcome"] == "pass"
    assert used(world) == list(MONDAYS[:3])


def test_column_that_changed_its_kind_is_not_compared_and_the_others_are(world, lake, profile, run):
    text = rows().set_column(0, "x", pa.array([str(i % 7) for i in range(1000)]))
    pq.write_table(text, lake / f"{MONDAYS[0]}.parquet")
    for day in MONDAYS[:3]:
        profile(day)
    verdict = skew(profile(MONDAYS[-1]), run, {"rule": "last", "count": 9})
    assert [(f["check"], f["subject"]) for f in verdict["findings"]] == [("comparable", "x")]


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        ("same_weekdy", "did you mean 'same_weekday'"),
        ({"rule": "last", "cuont": 3}, "unknown key 'cuont'.*did you mean 'count'"),
        ({"rule": "last", "count": "many"}, "count"),
        ([1], "reference: unknown key 'list'"),
    ],
)
def test_rule_that_is_not_understood_fails_without_retry(world, profile, run, reference, named):
    with pytest.raises(AirflowFailException, match=named):
        skew(profile(MONDAYS[-1]), run, reference)


def test_dataset_without_partitions_is_compared_with_what_it_was_in_training(
    world, lake, tmp_path, trained_champion, profile, run
):
    file = tmp_path / "table.parquet"
    pq.write_table(rows(), file)
    operator = ProfileDataOperator(task_id="p", model="m", uri=str(file))
    before = run(operator, run_id="before")
    trained_champion(file, (), before["window"]["digest"])
    pq.write_table(rows(5.0), file)
    assert skew(run(operator, run_id="after"), run, None)["outcome"] == "fail"
    champion_without_profile = world.registry.version("m", "1").tags
    champion_without_profile["mlops.digest"] = "sha256:0"
    verdict = skew(run(operator, run_id="after"), run, "training")
    assert (verdict["outcome"], "has no stored profile" in str(verdict)) == ("inconclusive", True)


def test_thresholds_are_calibrated_on_the_partitions_of_the_reference(world, lake, run):
    days = [f"2013-03-{day:02}" for day in range(1, 30)]
    for number, day in enumerate(days):
        pq.write_table(rows(shift=number % 4 / 2), lake / f"{day}.parquet")
    profiled = {
        day: run(ProfileDataOperator(task_id="p", model="m", uri=str(lake), partitions=day), run_id=day)
        for day in days
    }
    wanted = {"rule": "last", "count": 28}
    usual = skew(profiled[days[-1]], run, wanted)
    strict = skew(profiled[days[-1]], run, wanted, run_id="strict", calibrated=False)
    assert (usual["outcome"], strict["outcome"]) == ("pass", "fail")
    report = world.evidence.read_json("m__stage/now", "skew_report.json")
    assert any("calibrated on 28 blocks" in note for note in report["notes"])


def test_button_leads_to_a_page_that_shows_the_report(world, history, profile, run):
    operator = CheckSkewOperator(task_id="k", model="m", profile=profile(MONDAYS[-1]), reference="last")
    run(operator, run_id="now")
    assert world.context["ti"].link(FullReportLink).endswith("/artifacts/skew_report.html")
    page = world.evidence.runs["m__stage/now"].documents["skew_report.html"]
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert "Skew report" in page
