from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from builders import candidate, promotion, verdict
from sklearn.linear_model import LogisticRegression

from airflow_mlops.assets import challenger_asset
from airflow_mlops.backends.evidence.mlflow import MlflowEvidence
from airflow_mlops.backends.evidence.protocol import EvidenceKey
from airflow_mlops.backends.registry.mlflow import MlflowRegistry
from airflow_mlops.backends.serving.local.inference_writer import InferenceWriter
from airflow_mlops.backends.training.rows import split_rows
from airflow_mlops.backends.validation.rows import held_back_digest
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.training.job import DatasetSpec
from airflow_mlops.core.validation.author import OwnCheck
from airflow_mlops.core.validation.policy import ValidationPolicy
from airflow_mlops.core.validation.security.security import ExtractionPolicy
from airflow_mlops.core.verdict import Outcome
from airflow_mlops.operators.security import CheckExtractionOperator
from airflow_mlops.operators.training import TrainModelOperator
from airflow_mlops.operators.validation import (
    NominateChallengerOperator,
    ValidateModelOperator,
    _rivals,
    _tries,
)
from airflow_mlops.runtime.evidence import RunEvidence

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


def evidence_of(world, run_id):
    key = EvidenceKey(model="m", dag_id="m__training", run_id=run_id)
    return RunEvidence(world.evidence, world.evidence.open(key))


def test_candidates_judged_on_the_same_held_back_rows_are_counted_a_later_try_of_a_task_is_not(world):
    first, second, third = (evidence_of(world, run_id) for run_id in ("a", "b", "c"))
    assert [_tries(one, "m", "rows", "sha256:x") for one in (first, second, third)] == [1, 2, 3]
    assert [_tries(one, "m", "rows", "sha256:x") for one in (first, second, third)] == [1, 2, 3]
    assert _tries(evidence_of(world, "d"), "m", "rows", "sha256:y") == 1


def test_anchor_is_the_one_that_the_champion_carries_unless_it_is_the_champion(champion):
    assert _rivals(champion.registry, "m", None) == {}
    assert _rivals(champion.registry, "m", "2") == {"champion": "2"}
    champion.registry.set_tags("m", "2", {"mlops.anchor": "1"})
    assert _rivals(champion.registry, "m", "2") == {"champion": "2", "anchor": "1"}
    champion.registry.set_tags("m", "2", {"mlops.anchor": "2"})
    assert _rivals(champion.registry, "m", "2") == {"champion": "2"}


def test_anchor_of_the_last_days_comes_from_the_ledger_a_named_version_from_the_configuration(champion):
    (first,) = champion.registry.ledger("m")
    champion.registry.set_tags("m", "2", {"mlops.anchor": "7"})
    late = first.at + 10 * 86400
    assert _rivals(champion.registry, "m", "2", "30d", now=late) == {"champion": "2", "anchor": "1"}
    assert _rivals(champion.registry, "m", "2", "4", now=late) == {"champion": "2", "anchor": "4"}


@pytest.mark.parametrize("key", [pa.int32(), pa.int64(), pa.string(), pa.dictionary(pa.int8(), pa.string())])
def test_which_rows_are_held_back_does_not_depend_on_the_features_or_their_order(key):
    numbers = pa.array([str(i) for i in range(120)] if pa.types.is_string(key) else range(120))
    keys = numbers.cast(pa.string()).dictionary_encode() if pa.types.is_dictionary(key) else numbers.cast(key)
    table = pa.table({"id": keys, "x": pa.array(range(120)), "y": pa.array([0, 1] * 60)})
    digests = set()
    for features in (("x",), None):
        spec = DatasetSpec(target="y", key=("id",), features=features)
        digests.add(held_back_digest(split_rows(table, spec, Window(uri="/lake")), spec))
        table = table.append_column("more", table["x"]).take(pa.array(range(120))[::-1])
    assert len(digests) == 1
