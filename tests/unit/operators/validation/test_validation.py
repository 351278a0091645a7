from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from builders import candidate, promotion, verdict
from sklearn.linear_model import LogisticRegression

from airflow_mlops.assets import challenger_asset
from airflow_mlops.backends.evidence.mlflow import MlflowEvidence
from airflow_mlops.backends.registry.mlflow import MlflowRegistry
from airflow_mlops.backends.serving.local.inference_writer import InferenceWriter
from airflow_mlops.core.training.job import DatasetSpec
from airflow_mlops.core.validation.author import OwnCheck
from airflow_mlops.core.validation.policy import ValidationPolicy
from airflow_mlops.core.validation.security.security import ExtractionPolicy
from airflow_mlops.core.verdict import Outcome
from airflow_mlops.operators.security import CheckExtractionOperator
from airflow_mlops.operators.training import TrainModelOperator
from airflow_mlops.operators.validation import NominateChallengerOperator, ValidateModelOperator

SPEC = DatasetSpec(target="fate", key=("id",), segments=("origin",), exclude=("origin",))
POLICY = ValidationPolicy(
    margin={"log_loss": 0.05, "f1_macro": 0.05}, max_segment_drop=0.1, resamples=200, min_segment_rows=50
)


def fit(data, params):
    features = data.drop(columns="fate")
    return LogisticRegression(**params).fit(features[["signal"]] if "C" in params else features, data["fate"])


def always_sums_to_one(predict, rows):
    assert np.allclose(predict(rows).sum(axis=1), 1)


def never_sure(predict, rows):
    assert predict(rows).max() < 0.5, "is too sure"


@pytest.fixture
def lake(tmp_path):
    rng, rows = np.random.default_rng(0), 3000
    signal = rng.normal(size=rows)
    place = np.digitize(signal + 0.3 * rng.normal(size=rows), [-0.5, 0.5])
    frame = pd.DataFrame(
        {
            "id": [f"r{i}" for i in range(rows)],
            "origin": rng.choice(["JFK", "LGA"], rows),
            "signal": signal,
            "fate": np.array(["early", "late", "on time"])[place],
        }
    )
    (tmp_path / "lake").mkdir()
    frame.to_parquet(tmp_path / "lake" / "2013-01.parquet")
    return str(tmp_path / "lake")


@pytest.fixture
def mlflow_world(world):
    """The real MLflow, on SQLite."""
    world.registry, world.evidence = MlflowRegistry(world.server), MlflowEvidence(world.server)
    return world


def validated(run, trained, run_id="run-1", **more):
    operator = ValidateModelOperator(
        task_id="v", model="m", candidate=trained, **{"data": SPEC, "policy": POLICY} | more
    )
    return run(operator, run_id=run_id)


@pytest.mark.integration
def test_three_classes_in_text_from_training_to_a_verdict_against_the_champion(mlflow_world, run, lake):
    window = {"uri": lake, "partitions": ["2013-01"]}
    trained = []
    for number in (1, 2):
        train = TrainModelOperator(task_id="t", model="m", function=fit, window=window, data=SPEC)
        trained.append(run(train, run_id=f"run-{number}"))
    assert trained[0]["metrics"]["f1_macro"] > 0.7
    mlflow_world.registry.promote(promotion("m", None, "1"))

    checks = [OwnCheck(function=always_sums_to_one), OwnCheck(function=never_sure, severity="warning")]
    judged = validated(run, trained[1], "run-2", checks=checks)
    assert judged["outcome"] == "warn"
    assert any("not worse" in finding["reason"] for finding in judged["findings"])
    report = mlflow_world.evidence.read_json(trained[1]["evidence_run"], "validation_report.json")
    assert report["versions"] == {"challenger": "2", "champion": "1"}
    assert mlflow_world.registry.version("m", "2").tags["mlops.compared_with"] == "1"
    assert report["rows_digest"].startswith("sha256:")
    tags = mlflow_world.evidence.tags(trained[1]["evidence_run"])
    assert (tags["mlops.validation"], tags["mlops.holdout_digest"]) == ("warn", report["rows_digest"])

    with mlflow_world.server.session() as client:
        client.delete_model_version("m", "1")  # takes the alias along
    gone = validated(run, trained[1], "run-2")
    lost = [f["reason"] for f in gone["findings"] if f["subject"] == "champion"]
    assert gone["outcome"] == "inconclusive"
    known = "champion version 1 by the ledger, but no version has the alias 'champion'; roll back to it"
    assert lost == [known]

    with pytest.raises(AirflowFailException, match="did you mean 'log_loss'"):
        validated(run, trained[1], "run-2", policy=ValidationPolicy(margin={"logloss": 0.1}))
    with pytest.raises(AirflowFailException, match="column customer is missing"):
        validated(
            run,
            trained[1],
            "run-2",
            policy=ValidationPolicy(margin={"log_loss": 0.1}, entity=("customer",)),
        )


@pytest.mark.integration
@pytest.mark.parametrize("again", [False, True], ids=["as it was", "written again"])
def test_window_written_again_since_training_is_named_by_its_digest(mlflow_world, run, lake, again):
    window = {"uri": lake, "partitions": ["2013-01"]}
    trained = run(TrainModelOperator(task_id="t", model="m", function=fit, window=window, data=SPEC))
    if again:
        file = f"{lake}/2013-01.parquet"
        pd.read_parquet(file).assign(id=[f"n{i}" for i in range(3000)]).to_parquet(file)
    judged = validated(run, trained)
    said = [f["reason"] for f in judged["findings"] if f["check"] == "data_digest"]
    assert judged["outcome"] == ("inconclusive" if again else "pass")
    assert len(said) == again
    assert all(trained["window"]["digest"] in reason and "train again" in reason for reason in said)


def test_client_that_asks_too_often_is_named_in_the_verdict_and_the_report(world, run):
    with InferenceWriter(world.log_dir / "m" / "1", "1") as writer:
        for number in range(60):
            user = f"u{number % 6}" if number < 30 else "thief"
            writer.write(f"q{number}", pd.DataFrame({"user": [user], "x": [1.0]}), [0.5], status=200)
    policy = ExtractionPolicy(client="user", per_hour=20, at_least=10, times_usual=2)
    judged = run(CheckExtractionOperator(task_id="e", model="m", policy=policy))
    assert (judged["outcome"], judged["findings"][0]["subject"]) == ("warn", "thief")
    (evidence_run,) = world.evidence.find("m", {})
    assert world.evidence.read_json(evidence_run, "extraction_report.json") == judged
    blind = run(CheckExtractionOperator(task_id="e", model="m", policy=ExtractionPolicy(client="account")))
    assert blind["outcome"] == "inconclusive"
    assert "no column 'account'" in blind["findings"][0]["reason"]


ACCEPTED = verdict(Outcome.PASS, "validation").to_json()


def nominate(run, **more):
    known = {"candidate": candidate(version="2").to_json(), "verdict": ACCEPTED}
    operator = NominateChallengerOperator(
        task_id="n", model="m", outlets=[challenger_asset("m")], **known | more
    )
    return run(operator)


@pytest.mark.parametrize(
    "missing", [{"candidate": None}, {"verdict": None}, {"candidate": None, "verdict": None}]
)
def test_run_without_a_candidate_nominates_nothing(world, run, missing):
    with pytest.raises(AirflowSkipException, match="no candidate: nothing was trained and validated"):
        nominate(run, **missing)


def test_candidate_is_nominated_beside_the_champion_it_was_compared_with(champion, run):
    champion.registry.set_tags("m", "2", {"mlops.compared_with": "1"})
    assert nominate(run)["version"] == "2"
    assert champion.context["outlet_events"][challenger_asset("m")].partitions == ["2"]
    assert float(champion.registry.version("m", "2").tags["mlops.nominated_at"]) > 0


def test_candidate_is_not_nominated_when_the_champion_moved_since_it_was_compared(champion, run):
    champion.registry.set_tags("m", "2", {"mlops.compared_with": "none"})
    with pytest.raises(
        AirflowSkipException, match="compared with no champion, and champion is now 1; to comp"
    ):
        nominate(run)
    assert not champion.context["outlet_events"][challenger_asset("m")].partitions
    assert "mlops.nominated" not in champion.evidence.runs["m__stage/run-1"].tags
