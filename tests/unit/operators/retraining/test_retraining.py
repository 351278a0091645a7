from __future__ import annotations

import time
from types import SimpleNamespace

import pandas as pd
import pytest
from airflow.sdk.exceptions import AirflowSkipException
from builders import verdict

from airflow_mlops.assets import retraining_asset
from airflow_mlops.backends.evidence.protocol import EvidenceKey
from airflow_mlops.backends.profiling.scores import profile_scores
from airflow_mlops.backends.serving.local.inference_writer import InferenceWriter
from airflow_mlops.core.data.skew.policy import ColumnLimits, SkewPolicy
from airflow_mlops.core.monitoring.performance_policy import PerformancePolicy
from airflow_mlops.core.retraining.policy import RetrainPolicy
from airflow_mlops.core.rollout.end import EndKind, RolloutEnd
from airflow_mlops.core.training.job import DatasetSpec
from airflow_mlops.core.verdict import Outcome
from airflow_mlops.operators.monitoring import (
    CheckPerformanceOperator,
    CheckPredictionsOperator,
    ProfileInferenceLogOperator,
)
from airflow_mlops.operators.retraining import (
    ReadTrainingRequestOperator,
    RequestRetrainingOperator,
    RetrainGateOperator,
)
from airflow_mlops.runtime.profiles import mark_announced

SPEC = DatasetSpec(target="late", key=("id",))


@pytest.fixture
def lake(tmp_path):
    folder = tmp_path / "lake"
    folder.mkdir()
    for month in ("2013-01", "2013-02", "2013-03"):
        frame = pd.DataFrame({"id": [f"{month}-{i}" for i in range(400)], "x": range(400)})
        frame.assign(late=(frame["x"] >= 200).astype(int)).to_parquet(folder / f"{month}.parquet")
    return str(folder)


@pytest.fixture
def champion(trained_champion, lake):
    return trained_champion(lake)


def read(lake, run, **more):
    operator = ReadTrainingRequestOperator(
        task_id="r", model="m", uri=lake, history=2, train_params={"depth": 1}
    )
    return run(operator, **more)


def test_new_partition_is_trained_on_with_its_history(world, lake, run):
    request = read(lake, run, partition="2013-02")
    assert (request["partition"], request["partitions"]) == ("2013-02", ["2013-01", "2013-02"])
    assert (request["trigger"], request["force"], request["params"]) == ("new_data", False, {"depth": 1})


def test_form_takes_precedence(world, lake, run):
    form = {"partition": "2013-03", "reason": "audit", "force": True, "params": {"depth": 9}}
    request = read(lake, run, partition=None, params=form)
    assert (request["partition"], request["trigger"], request["reason"]) == ("2013-03", "manual", "audit")
    assert (request["force"], request["params"]) == (True, {"depth": 9})


def test_run_without_a_partition_is_about_the_newest(world, lake, run):
    assert read(lake, run, partition=None)["partition"] == "2013-03"


def test_event_says_who_asks_and_why(world, lake, run):
    events = {"asset": [SimpleNamespace(extra={"trigger": "degradation", "reason": "roc_auc 0.5"})]}
    request = read(lake, run, partition="2013-02", triggering_asset_events=events)
    assert (request["trigger"], request["reason"]) == ("degradation", "roc_auc 0.5")


def test_of_several_requests_a_degradation_is_the_reason(world, lake, run):
    asked = [
        {},
        {"trigger": "drift", "reason": "ks 0.2"},
        {"trigger": "degradation", "reason": "roc_auc 0.5"},
    ]
    events = {"asset": [SimpleNamespace(extra=extra) for extra in asked]}
    request = read(lake, run, partition="2013-02", triggering_asset_events=events)
    assert (request["trigger"], request["reason"]) == ("degradation", "roc_auc 0.5")


def test_partition_that_broke_the_schema_is_not_learned_from(world, lake, run):
    tags = {"mlops.profile": "data", "mlops.profile.partition": "2013-02", "mlops.profile.valid": "false"}
    world.evidence.open(EvidenceKey(model="m", dag_id="d", run_id="broken"), tags)
    assert read(lake, run, partition="2013-03")["partitions"] == ["2013-01", "2013-03"]


@pytest.mark.parametrize("history", [3, 4, 12])
def test_history_longer_than_the_dataset_trains_on_all_of_it(world, lake, run, history):
    operator = ReadTrainingRequestOperator(task_id="r", model="m", uri=lake, history=history)
    assert run(operator, partition="2013-03")["partitions"] == ["2013-01", "2013-02", "2013-03"]


def test_schedule_whose_key_is_a_moment_asks_for_the_newest_partition(world, lake, run):
    events = {"asset": [SimpleNamespace(extra={"trigger": "schedule", "reason": "schedule @daily"})]}
    request = read(lake, run, partition="2013-02-15T00:00:00", triggering_asset_events=events)
    assert (request["partition"], request["partitions"]) == ("2013-03", ["2013-02", "2013-03"])


def gate(verdicts, **more):
    return RetrainGateOperator(task_id="g", model="m", verdicts=verdicts, rows=5000, **more)


def test_gate_goes_on_with_a_reason_and_keeps_it(champion, run):
    champion.registry.now = 0.0
    decision = run(gate([verdict(Outcome.FAIL).to_json(), None]))
    assert (decision["retrain"], decision["trigger"]) == (True, "skew")
    kept = champion.evidence.runs["m__stage/run-1"]
    assert kept.documents["retrain_decision.json"] == decision
    assert kept.tags["mlops.trigger"] == "skew"


def test_gate_skips_with_the_reason_after_keeping_it(champion, run):
    with pytest.raises(AirflowSkipException, match="no retraining: no trigger for retraining"):
        run(gate([verdict(Outcome.PASS).to_json()]))
    assert champion.evidence.runs["m__stage/run-1"].documents["retrain_decision.json"]["retrain"] is False


def test_cool_down_is_read_from_the_registry_and_force_passes_it(champion, run):
    champion.registry.now = time.time()
    champion.registry.register("m", "another", str(champion.model_dir), {})
    policy, request = RetrainPolicy(cooldown_seconds=3600), {"trigger": "manual", "reason": "now"}
    with pytest.raises(AirflowSkipException, match="cool-down 3600 s"):
        run(gate([], policy=policy, request=request))
    assert run(gate([], policy=policy, request=request | {"force": True}))["retrain"]


def asked(partition, trigger="new_data"):
    return {"uri": "/lake/", "partition": partition, "trigger": trigger}


def trained_on(world, partition, version_run="run-of-2", digest=None, uri="/lake"):
    """Register a version trained up to a partition; its evidence run profiled it."""
    key = EvidenceKey(model="m", dag_id="m__training", run_id=version_run)
    kept = world.evidence.open(key, {"mlops.profile.digest": digest} if digest else {})
    tags = {"mlops.partition": partition, "mlops.uri": uri}
    return world.registry.register("m", kept, str(world.model_dir), tags)


COLD = RetrainPolicy(cooldown_seconds=0)


def test_older_partition_than_the_newest_trained_one_does_not_train(world, run):
    trained_on(world, "2013-02")
    why = "partition 2013-01 is older: version 1 was trained on the newer partition 2013-02"
    with pytest.raises(AirflowSkipException, match=why):
        run(gate([], policy=COLD, request=asked("2013-01")))
    elsewhere = asked("2013-01") | {"uri": "/other"}
    assert run(gate([], policy=COLD, request=elsewhere))["trigger"] == "cold_start"
    assert run(gate([], policy=COLD, request=asked("2013-01") | {"force": True}))["retrain"]


@pytest.mark.parametrize("read", ["/lake#version=7", "/lake/#delimiter=%3B"])
def test_older_partition_is_known_however_the_newer_one_was_read(world, run, read):
    trained_on(world, "2013-02", uri=read)
    with pytest.raises(AirflowSkipException, match="partition 2013-01 is older"):
        run(gate([], policy=COLD, request=asked("2013-01")))


def announced(world, newest, uri="/lake"):
    key = EvidenceKey(model="m", dag_id="m__watch", run_id=f"up to {newest}")
    mark_announced(world.evidence, key, uri, newest)


def test_of_a_backlog_the_newest_partition_trains_whatever_the_order(world, run):
    announced(world, "2013-01")
    announced(world, "2013-03")
    for older in ("2013-01", "2013-02"):
        with pytest.raises(AirflowSkipException, match="2013-03 was announced"):
            run(gate([], policy=COLD, request=asked(older)))
    assert run(gate([], policy=COLD, request=asked("2013-03")))["retrain"]
    assert run(gate([], policy=COLD, request=asked("2013-01") | {"uri": "/other"}))["retrain"]


def test_newer_partition_that_broke_its_schema_is_not_waited_for(world, run):
    tags = {"mlops.profile": "data", "mlops.profile.partition": "2013-03", "mlops.profile.valid": "false"}
    world.evidence.open(EvidenceKey(model="m", dag_id="d", run_id="broken"), tags)
    announced(world, "2013-03")
    assert run(gate([], policy=COLD, request=asked("2013-02")))["retrain"]


@pytest.mark.parametrize(("digest", "trains"), [("sha256:a", False), ("sha256:b", True)])
def test_partition_that_is_announced_again_trains_only_if_its_data_changed(world, run, digest, trains):
    trained_on(world, "2013-02", digest="sha256:a")
    key = EvidenceKey(model="m", dag_id="m__stage", run_id="run-1")
    world.evidence.open(key, {"mlops.profile.digest": digest})
    if trains:
        assert run(gate([], policy=COLD, request=asked("2013-02")))["retrain"]
    else:
        with pytest.raises(
            AirflowSkipException, match="version 1 was trained on partition 2013-02, unchanged"
        ):
            run(gate([], policy=COLD, request=asked("2013-02")))


def begun_rollout(world, **tags):
    key = EvidenceKey(model="m", dag_id="m__rollout", run_id="r")
    world.evidence.open(key, {"mlops.version": "1", "mlops.stage": "rollout"} | tags)


def test_nothing_is_trained_while_a_rollout_is_under_way(world, run, monkeypatch):
    begun_rollout(world)
    for state in ("running", "queued", None):
        monkeypatch.setattr("airflow_mlops.runtime.ends.run_state", lambda holder, state=state: state)
        with pytest.raises(AirflowSkipException, match="under way: version 1 by m__rollout/r"):
            run(gate([], policy=COLD, request=asked("2013-02")))
    assert run(gate([], policy=COLD, request=asked("2013-02") | {"force": True}))["retrain"]


@pytest.mark.parametrize("state", ["failed", "success", "deleted"])
def test_rollout_whose_run_is_over_blocks_nothing(world, run, monkeypatch, state):
    begun_rollout(world)
    monkeypatch.setattr("airflow_mlops.runtime.ends.run_state", lambda holder: state)
    assert run(gate([], policy=COLD, request=asked("2013-02")))["retrain"]


def test_rollout_that_has_an_end_blocks_nothing(world, run):
    begun_rollout(world, **{"mlops.rollout": "rolled_back"})
    assert run(gate([], policy=COLD, request=asked("2013-02")))["retrain"]
    begun_rollout(world, **{"mlops.rollout": ""})
    end = RolloutEnd(id="e", model="m", kind=EndKind.STOPPED, version="1", holder="m__rollout/r")
    world.registry.record_end(end)
    assert run(gate([], policy=COLD, request=asked("2013-02")))["retrain"]


def test_nominated_version_is_waited_for_ten_minutes(world, run):
    version = trained_on(world, "2013-01")
    version.tags["mlops.nominated_at"] = str(time.time() - 30)
    with pytest.raises(AirflowSkipException, match=r"under way: version 1 was nominated 3\d s ago"):
        run(gate([], policy=COLD, request=asked("2013-02")))
    version.tags["mlops.nominated_at"] = str(time.time() - 700)
    assert run(gate([], policy=COLD, request=asked("2013-02")))["retrain"]


def test_request_is_announced_as_a_partition_with_its_reason(world, run):
    asset = retraining_asset("m")
    operator = RequestRetrainingOperator(
        task_id="r", partition="2013-01", trigger="drift", reason="x moved", outlets=[asset]
    )
    run(operator)
    event = world.context["outlet_events"][asset]
    assert (event.partitions, event.extra) == (["2013-01"], {"trigger": "drift", "reason": "x moved"})


@pytest.fixture
def served(champion):
    """Version 1 answered the requests of February, well; another version answered badly."""
    frame = pd.DataFrame({"x": [float(i) for i in range(400)]})
    for version, scores in (("1", frame["x"] / 400), ("9", 1 - frame["x"] / 400)):
        with InferenceWriter(champion.log_dir / "m" / version, version) as writer:
            for i in range(0, 400, 2) if version == "1" else range(1, 400, 2):
                row = frame.iloc[[i]]
                writer.write(f"2013-02-{i}", row, [float(scores.iloc[i])], status=200)
    return champion


def monitor(cls, lake, **more):
    return cls(task_id="t", model="m", uri=lake, partition="2013-02", data=SPEC, **more)


def test_served_inputs_are_profiled_with_the_champions_cells(served, lake, run):
    ref = run(monitor(ProfileInferenceLogOperator, lake))
    profile = served.evidence.read_json(ref["evidence_run"], "serving_profile.json")
    assert (ref["rows"], [c["name"] for c in profile["columns"]]) == (400, ["x"])


def test_nothing_served_skips_with_the_reason(champion, lake, run):
    with pytest.raises(AirflowSkipException, match="no request of partition 2013-02 was served"):
        run(monitor(ProfileInferenceLogOperator, lake))


def test_champion_is_measured_on_its_own_answers_only(served, lake, run):
    kept = served.evidence.open(EvidenceKey(model="m", dag_id="d", run_id="t"))
    served.evidence.write_json(kept, "candidate.json", {"metrics": {"roc_auc": 0.99}})
    served.evidence.runs["training"] = served.evidence.runs.pop(kept)
    policy = PerformancePolicy(min_rows=100, resamples=200)
    result = run(monitor(CheckPerformanceOperator, lake, policy=policy))
    assert result["outcome"] == "pass"
    assert "roc_auc 1.0000" in result["findings"][0]["reason"]
    assert "200 labelled requests" in result["findings"][0]["reason"]
    report = served.evidence.read_json("m__stage/run-1", "performance_report.json")
    assert report["seen"]["promised"] == 0.99


def test_unknown_promise_is_inconclusive(served, lake, run):
    result = run(monitor(CheckPerformanceOperator, lake, policy=PerformancePolicy(min_rows=100)))
    assert result["outcome"] == "inconclusive"


def promise(world, scores):
    """Keep what the champion's training would have kept."""
    run = world.evidence.open(EvidenceKey(model="m", dag_id="d", run_id="t"))
    world.evidence.write_json(run, "score_profile.json", profile_scores(scores).to_json())
    world.evidence.runs["training"] = world.evidence.runs.pop(run)


@pytest.mark.parametrize(("promised", "outcome"), [(1.0, "pass"), (0.5, "fail")])
def test_answers_are_compared_with_the_champions_own_scores_of_training(served, lake, run, promised, outcome):
    promise(served, [promised * i / 400 for i in range(400)])
    verdict = run(monitor(CheckPredictionsOperator, lake, policy=SkewPolicy(ks=0.1)))
    assert (verdict["gate"], verdict["outcome"]) == ("prediction_drift", outcome)
    report = served.evidence.read_json("m__stage/run-1", "prediction_drift_report.json")
    assert (report["reference_rows"], report["current_rows"]) == (400, 200)


def test_predictions_as_in_training_pass_whatever_the_policy_says_of_other_columns(served, lake, run):
    promise(served, [i / 400 for i in range(400)])
    policy = SkewPolicy(ks=0.1, labels=("late",), ignore=("id",), columns={"x": ColumnLimits(threshold=0.1)})
    verdict = run(monitor(CheckPredictionsOperator, lake, policy=policy))
    assert verdict["outcome"] == "pass"


def test_drift_of_predictions_asks_for_retraining(champion, run):
    champion.registry.now = 0.0
    decision = run(gate([verdict(Outcome.FAIL, "prediction_drift").to_json()]))
    assert (decision["retrain"], decision["trigger"]) == (True, "drift")


def test_champion_without_kept_scores_is_inconclusive(served, lake, run):
    verdict = run(monitor(CheckPredictionsOperator, lake))
    assert verdict["outcome"] == "inconclusive"
    assert "version 1: its training stored no scores" in verdict["findings"][0]["reason"]


def test_champion_that_answered_nothing_is_inconclusive(champion, lake, run):
    promise(champion, [0.5] * 100)
    verdict = run(monitor(CheckPredictionsOperator, lake))
    assert "version 1: it answered no request" in verdict["findings"][0]["reason"]
