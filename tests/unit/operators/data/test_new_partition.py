"""The sensor for new partitions: on the worker and on the triggerer, by the same decision."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
from airflow.sdk.definitions.asset import AssetUniqueKey
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)
from airflow.sdk.execution_time.context import OutletEventAccessor, OutletEventAccessors
from airflow.sdk.execution_time.task_runner import _serialize_outlet_events

from airflow_mlops.assets import announce, data_asset
from airflow_mlops.backends.evidence.protocol import EvidenceKey
from airflow_mlops.core.data.window import Window
from airflow_mlops.runtime.profiles import data_profile_tags
from airflow_mlops.sensors.data import NewPartitionSensor
from airflow_mlops.triggers.data import NewPartitionTrigger


@pytest.fixture
def lake(tmp_path):
    folder = tmp_path / "lake"
    for month in ("2013-01", "2013-02"):
        (folder / f"month={month}").mkdir(parents=True)
        (folder / f"month={month}" / "part.csv").write_text("x\n1\n")
    return folder


@pytest.fixture
def known(world, lake):
    """January is profiled already."""
    tags = data_profile_tags(Window(uri=str(lake), partitions=("2013-01",)))
    world.evidence.open(EvidenceKey(model="m", dag_id="d", run_id="r"), tags)


async def first_event(trigger):
    return (await anext(trigger.run())).payload


@pytest.fixture(params=["worker", "triggerer"])
def wait(request, run):
    """Wait in both modes; the trigger is rebuilt from what Airflow stores of it."""

    def waiting(lake, **more):
        settings = {"poll_seconds": 0.01, "timeout_seconds": 5.0, "deferrable": request.param == "triggerer"}
        sensor = NewPartitionSensor(task_id="w", model="m", uri=str(lake), **settings | more)
        if not sensor.deferrable:
            return run(sensor)
        with pytest.raises(TaskDeferred) as deferred:
            run(sensor)
        path, kwargs = deferred.value.trigger.serialize()
        assert path == "airflow_mlops.triggers.data.NewPartitionTrigger"
        event = asyncio.run(first_event(NewPartitionTrigger(**json.loads(json.dumps(kwargs)))))
        return getattr(sensor, deferred.value.method_name)(run.world.context, event)

    return waiting


@pytest.fixture
def run(run, world):
    run.world = world
    return run


def test_partition_newer_than_the_newest_profiled_arrives_once_it_is_stable(known, lake, wait):
    assert wait(lake) == ["2013-02"]


def test_without_any_profile_everything_is_new(world, lake, wait):
    assert wait(lake) == ["2013-01", "2013-02"]


def test_partition_arrives_while_it_is_waited_for(known, lake, wait):
    def deliver():
        (lake / "2013-03.csv").write_text("x\n1\n")

    timer = threading.Timer(0.1, deliver)
    timer.start()
    assert wait(lake, after="2013-02") == ["2013-03"]
    timer.join()


def test_marker_is_waited_for(known, lake, wait):
    with pytest.raises(AirflowSensorTimeout, match=r"no complete new partition.*complete: marker"):
        wait(lake, complete="marker", timeout_seconds=0.05)
    (lake / "month=2013-02" / "_SUCCESS").touch()
    assert wait(lake, complete="marker") == ["2013-02"]


def test_dataset_that_does_not_exist_yet_is_waited_for_then_given_up(world, tmp_path, wait):
    with pytest.raises(AirflowSensorTimeout, match="no complete 2013-01 after"):
        wait(tmp_path / "later", partition="2013-01", timeout_seconds=0.05)


def test_dataset_without_news_is_skipped_if_that_is_no_failure(known, lake, wait):
    with pytest.raises(AirflowSkipException, match=r"no complete new partition after 0\.05 s"):
        wait(lake, after="2013-02", timeout_seconds=0.05, soft_fail=True)


def test_arrived_partitions_are_announced(known, lake, wait, run):
    asset = data_asset("m")
    wait(lake, outlets=[asset])
    assert run.world.context["outlet_events"][asset].partitions == ["2013-02"]


def told(run, lake, run_id, **more):
    """Look once, in a DAG run of its own; return what was announced, nothing if nothing is new."""
    known = {"poll_seconds": 0.01, "timeout_seconds": 0.05, "deferrable": False, "outlets": [data_asset("m")]}
    sensor = NewPartitionSensor(task_id="w", model="m", uri=str(lake), soft_fail=True, **known | more)
    try:
        return run(sensor, run_id=run_id)
    except AirflowSkipException:
        return []


def test_partition_is_announced_once_though_its_profile_does_not_exist_yet(world, lake, run):
    assert told(run, lake, "first") == ["2013-01", "2013-02"]
    assert told(run, lake, "second") == []
    (lake / "2013-03.csv").write_text("x\n1\n")
    assert told(run, lake, "third") == ["2013-03"]
    assert told(run, lake, "fourth") == []


def test_another_try_of_the_same_run_announces_again_what_may_not_have_arrived(world, lake, run):
    assert told(run, lake, "first") == told(run, lake, "first") == ["2013-01", "2013-02"]


@pytest.mark.parametrize(("state", "again"), [("failed", True), ("success", False), (None, False)])
def test_what_a_failed_run_announced_is_announced_again(world, lake, run, monkeypatch, state, again):
    told(run, lake, "first")
    monkeypatch.setattr("airflow_mlops.runtime.profiles.run_state", lambda holder: state)
    assert told(run, lake, "second") == (["2013-01", "2013-02"] if again else [])


def test_wait_for_one_partition_or_without_outlets_marks_nothing(world, lake, run):
    assert told(run, lake, "one", partition="2013-02") == ["2013-02"]
    assert told(run, lake, "unheard", outlets=[]) == ["2013-01", "2013-02"]
    assert told(run, lake, "all") == ["2013-01", "2013-02"]


def test_backlog_is_handed_over_oldest_first(world, lake, run):
    """Airflow hands over what the event's keys hold, in their order; a set has none."""
    asset = data_asset("m")
    accessor = OutletEventAccessor(key=AssetUniqueKey.from_asset(asset))
    months = [f"2013-{number:02}" for number in range(1, 13)]
    announce({"outlet_events": {asset: accessor}}, [asset], months)
    accessors = OutletEventAccessors()
    accessors._dict[AssetUniqueKey.from_asset(asset)] = accessor
    assert [event["partition_key"] for event in _serialize_outlet_events(accessors)] == months


def test_object_storage_is_watched_through_its_connection(world, bucket, wait):
    bucket.pipe_file("bucket/churn/2013-01.csv", b"x\n1\n")
    assert wait("s3://lake@bucket/churn", after="") == ["2013-01"]


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"complete": "makrer"}, "did you mean 'marker'"),
        ({"uri": "s3://nobody@bucket/x"}, "nobody"),
        ({"uri": "s3://key:pw@bucket/x"}, "holds a password"),
    ],
)
def test_what_cannot_be_waited_for_fails_at_once(world, bucket, run, more, named):
    settings = {"uri": "/lake", "after": ""} | more
    with pytest.raises(AirflowFailException, match=named):
        run(NewPartitionSensor(task_id="w", model="m", **settings))
