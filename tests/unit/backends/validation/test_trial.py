from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest

from airflow_mlops.backends.columns.servable import servable
from airflow_mlops.backends.training.rows import Rows, held_back_rows
from airflow_mlops.backends.validation.rows import days_of, rows_digest, windows_of
from airflow_mlops.backends.validation.trial import Trial
from airflow_mlops.core.errors import InvalidConfigError, InvalidDataError, ServiceUnavailableError
from airflow_mlops.core.training.job import DatasetSpec
from airflow_mlops.core.validation.author import OwnCheck, OwnMetric
from airflow_mlops.core.validation.policy import FairnessPolicy, ValidationPolicy
from airflow_mlops.core.validation.security.security import PoisoningPolicy
from airflow_mlops.core.verdict import Outcome

SPEC = DatasetSpec(target="late", key=("id",), segments=("origin",), exclude=("origin", "customer", "month"))
POLICY = ValidationPolicy(margin={"roc_auc": 0.05}, resamples=150, min_segment_rows=50, max_segment_drop=0.2)
VERSIONS = {"challenger": "2", "champion": "1"}


class Model:
    """What ``mlflow.pyfunc.load_model`` gives: scores from the signal unless told otherwise."""

    def __init__(self, predict=None, inputs=None):
        self.calls = 0
        self._predict = predict or (lambda rows: 1 / (1 + np.exp(-2 * rows["signal"])))
        names = SimpleNamespace(input_names=lambda: inputs, has_input_names=lambda: inputs is not None)
        self.metadata = SimpleNamespace(get_input_schema=lambda: names)

    def predict(self, rows):
        self.calls += 1
        return self._predict(rows)


class Registry:
    """Hands out models by version; a version that is an error raises it."""

    def __init__(self, monkeypatch, **versions):
        self.versions = versions
        monkeypatch.setattr(mlflow.pyfunc, "load_model", lambda path: self.versions[path])

    def download(self, model, version, target):
        found = self.versions[f"v{version}"]
        if isinstance(found, Exception):
            raise found
        return f"v{version}"


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def frame(rng):
    signal = rng.normal(size=6000)
    return pd.DataFrame(
        {
            "id": [f"r{i}" for i in range(6000)],
            "origin": rng.choice(["JFK", "LGA"], 6000),
            "customer": rng.integers(0, 400, 6000),
            "month": rng.integers(1, 4, 6000),
            "signal": signal,
            "count": rng.integers(0, 5, 6000),
            "late": (rng.random(6000) < 1 / (1 + np.exp(-2 * signal))).astype(int),
        }
    )


def rows_of(frame, spec=SPEC):
    features = spec.feature_names(list(frame.columns))
    return Rows(frame.assign(**servable(frame[features])), features, held_back_rows(frame, spec))


@pytest.fixture
def judged(frame, monkeypatch):
    def judge(challenger=None, champion=None, *, policy=POLICY, data=None, spec=SPEC, **more):
        registry = Registry(monkeypatch, v2=challenger or Model(), v1=champion or Model())
        rows = rows_of(frame if data is None else data, spec)
        return Trial(data=spec, policy=policy, **more).judge(registry, "m", VERSIONS, rows)

    return judge


def test_each_model_predicts_once_and_the_report_says_what_on_which_rows(judged, frame):
    challenger, champion = Model(), Model()
    report = judged(challenger, champion)
    assert (challenger.calls, champion.calls) == (1, 1)
    assert report.verdict.outcome is Outcome.PASS
    assert report.versions == VERSIONS
    assert report.rows_digest == rows_digest(rows_of(frame).holdout[["id", "signal", "count", "late"]])
    assert {c.segment for c in report.comparisons} == {"", "origin=JFK", "origin=LGA"}


def test_digest_is_of_the_rows_not_of_their_order(frame):
    assert rows_digest(frame) == rows_digest(frame.sample(frac=1, random_state=0))
    assert rows_digest(frame) != rows_digest(frame.assign(late=1 - frame["late"]))


@pytest.mark.parametrize(
    ("champion", "named"),
    [
        (Model(inputs=["signal", "speed"]), "needs column speed, which the rows lack"),
        (Model(predict=lambda rows: rows["speed"]), "KeyError: 'speed'"),
        (Model(predict=lambda rows: np.zeros(3)), r"predictions have shape \(3,\)"),
        (Model(predict=lambda rows: ["yes"] * len(rows)), "predictions are <U3, allowed: numbers"),
        (Model(predict=lambda rows: np.full(len(rows), np.nan)), "predictions are NaN or infinite"),
        (Model(predict=lambda rows: np.zeros((len(rows), 2, 2))), r"predictions have shape \(\d+, 2, 2\)"),
        (InvalidConfigError("model 'm' has no version '1'"), "has no version '1'"),
        (OSError("disk"), "OSError: disk"),
    ],
    ids=["column", "raises", "length", "text", "nan", "cube", "deleted", "unreadable"],
)
def test_champion_that_cannot_be_compared_leaves_the_verdict_inconclusive(judged, champion, named):
    report = judged(champion=champion)
    assert report.verdict.outcome is Outcome.INCONCLUSIVE
    assert re.search(named, report.verdict.reasons[0])


def test_challenger_that_raises_fails_with_the_reason(judged):
    report = judged(Model(predict=lambda rows: 1 / 0))
    assert report.verdict.outcome is Outcome.FAIL
    assert (
        "challenger version 2 cannot score the held-back rows: ZeroDivisionError" in report.verdict.reasons[0]
    )


@pytest.mark.parametrize("role", ["challenger", "champion"])
def test_registry_that_does_not_answer_is_left_to_a_retry(judged, role):
    with pytest.raises(ServiceUnavailableError):
        judged(**{role: ServiceUnavailableError("MLflow is restarting")})


def test_text_labels_and_three_classes(judged, frame, rng):
    frame["late"] = np.array(["early", "late", "on time"])[rng.integers(0, 3, 6000)]

    def predict(rows):
        truth = frame.set_index(["signal", "count"])["late"].reindex(pd.MultiIndex.from_frame(rows))
        codes = truth.map({"early": 0, "late": 1, "on time": 2}).to_numpy(dtype=int)
        return np.eye(3)[codes] * 0.6 + 0.4 / 3

    policy = ValidationPolicy(margin={"log_loss": 0.05, "f1_macro": 0.05}, resamples=150)
    report = judged(Model(predict), Model(predict), policy=policy)
    assert report.verdict.outcome is Outcome.PASS
    assert report.comparisons[1].challenger == pytest.approx(1.0)


def test_customers_are_drawn_together_and_groups_need_not_be_segments(judged, frame):
    policy = ValidationPolicy(
        margin={"roc_auc": 0.05},
        max_segment_drop=0.2,
        resamples=150,
        entity=("customer",),
        fairness=(FairnessPolicy(column="month", metric="selection_rate", limit=0.2),),
    )
    report = judged(policy=policy)
    assert report.verdict.outcome is Outcome.PASS
    assert any(finding.subject == "month: selection_rate" for finding in report.verdict.findings)


@pytest.mark.parametrize("policy", [{"entity": ("user",)}, {"query": "user"}])
def test_column_of_the_policy_that_is_missing_is_named(judged, policy):
    with pytest.raises(InvalidDataError, match="column user is missing; columns: id, origin"):
        judged(policy=ValidationPolicy(margin={"roc_auc": 0.05}, resamples=150, **policy))


def test_metrics_of_author_and_scikit_learn_decide_too(judged):
    def profit(labels, scores, weights):
        return np.average(np.where(scores >= 0.5, labels * 2 - 1, 0), weights=weights)

    names = ("profit", "sklearn:jaccard")
    policy = ValidationPolicy(margin=dict.fromkeys(names, 0.5), max_segment_drop=0.5, resamples=100)
    report = judged(policy=policy, metrics=[OwnMetric(name="profit", function=profit)])
    assert report.verdict.outcome is Outcome.PASS
    assert {c.metric for c in report.comparisons} == set(names)


def test_check_that_fails_refuses_the_challenger_and_an_unknown_check_is_a_named_error(judged):
    def never_sure(predict, rows):
        assert predict(rows).max() < 0.9, "is too sure"

    report = judged(checks=[OwnCheck(function=never_sure)])
    assert (report.verdict.outcome, report.verdict.reasons) == (
        Outcome.FAIL,
        ("check never_sure: is too sure",),
    )
    with pytest.raises(InvalidConfigError, match=r"validate\.checks"):
        judged(checks=[OwnCheck(function="nowhere:check")])


def test_signs_of_poisoning_join_the_verdict(judged, frame):
    frame.loc[rows_of(frame).training.index[:400], "late"] ^= 1
    copies = frame.iloc[:400].assign(late=1 - frame["late"][:400])
    policy = replace(POLICY, poisoning=PoisoningPolicy(outcome=Outcome.FAIL))
    report = judged(data=pd.concat([frame, copies], ignore_index=True), policy=policy)
    assert report.verdict.outcome is Outcome.FAIL
    assert any("exact duplicates have another label" in reason for reason in report.verdict.reasons)


def test_segment_of_the_window_without_a_held_back_row_is_named(judged, frame):
    frame.loc[rows_of(frame).training.index[:5], "origin"] = "EWR"
    verdict = judged(data=frame).verdict
    assert verdict.outcome is Outcome.WARN
    assert verdict.reasons == (
        "origin: 1 segments of the window have no held-back row (rows): origin=EWR (5)",
    )


@pytest.mark.parametrize(
    ("days", "partitions", "expected"),
    [(None, None, 0), (None, ["2013-01", "2013-02"], 2), (40, ["2013-01", "2013-02"], 40), (3, None, 3)],
    ids=["unknown", "partitions", "many days", "few days"],
)
def test_windows_are_the_days_of_a_column_of_times_or_the_partitions(frame, days, partitions, expected):
    if days:
        frame["at"] = pd.Timestamp("2013-01-01") + pd.to_timedelta(np.arange(6000) % days * 24 + 7, unit="h")
    rows = rows_of(frame, replace(SPEC, exclude=(*SPEC.exclude, "at")))
    rows = replace(rows, partitions=partitions and pd.Series(np.repeat(partitions, 3000)))
    windows = windows_of(rows)
    assert (0 if windows is None else len(np.unique(windows))) == expected


def test_customers_whose_gains_move_together_are_warned_of(judged, frame):
    swing = np.random.default_rng(4).normal(size=400)[frame["customer"]]
    challenger = Model(lambda rows: np.clip(0.5 + 0.2 * swing[rows.index], 0, 1))
    reasons = [f.reason for f in judged(challenger).verdict.findings if f.check == "clusters"]
    assert [reason.partition(":")[0] for reason in reasons] == ["customer"]


@pytest.mark.parametrize("zone", ["Asia/Beirut", "America/Sao_Paulo", "America/Havana", "Europe/Berlin"])
def test_days_are_local_also_where_one_has_no_midnight(zone):
    times = pd.Series(pd.date_range("2018-10-18", periods=4000, freq="30min", tz="UTC")).dt.tz_convert(zone)
    later = pd.Series(pd.date_range("2022-03-10", periods=4000, freq="30min", tz="UTC")).dt.tz_convert(zone)
    for each in (times, later):
        assert days_of(each).nunique() == len({moment.date() for moment in each})
