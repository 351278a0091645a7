"""What can be wrong with models, rows, labels and bars: the verdict or the named error, and what it says."""

from __future__ import annotations

from types import SimpleNamespace

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest

from airflow_mlops.backends.columns.servable import servable
from airflow_mlops.backends.training.rows import Rows, held_back_rows
from airflow_mlops.backends.validation.models import LoadedModel
from airflow_mlops.backends.validation.trial import Trial
from airflow_mlops.core.errors import InvalidConfigError, InvalidDataError, ServiceUnavailableError
from airflow_mlops.core.training.job import DatasetSpec
from airflow_mlops.core.validation.policy import OnUnusableChampion, ValidationPolicy
from airflow_mlops.core.verdict import Outcome

ROWS = 3000
SPEC = DatasetSpec(target="late", key=("id",), segments=("origin",), exclude=("origin",))
BARS = {"resamples": 150, "max_segment_drop": 0.2, "slices": None}
POLICY = ValidationPolicy(margin={"roc_auc": 0.05}, **BARS)
CONTINUE = ValidationPolicy(
    margin={"roc_auc": 0.05}, on_unusable_champion=OnUnusableChampion.CONTINUE, **BARS
)
FEW = SimpleNamespace(input_names=lambda: ["signal", "speed"], has_input_names=lambda: True)


def good(rows):
    return 1 / (1 + np.exp(-2 * rows["signal"]))


class Model:
    """What ``mlflow.pyfunc.load_model`` gives."""

    def __init__(self, predict=good, schema=None, classes=None):
        self._predict, self._classes = predict, classes
        self.metadata = SimpleNamespace(get_input_schema=lambda: schema)

    def predict(self, rows):
        return self._predict(rows)

    def get_raw_model(self):
        if self._classes is None:
            raise NotImplementedError
        return SimpleNamespace(classes_=np.array(self._classes))


class Registry:
    def __init__(self, **models):
        self.models = models

    def download(self, model, version, target):
        found = self.models[version]
        if isinstance(found, Exception):
            raise found
        return version


@pytest.fixture
def judged(monkeypatch):
    """Judge after one thing was made wrong: a model, the frame, or the bars."""
    rng = np.random.default_rng(5)
    signal = rng.normal(size=ROWS)
    frame = pd.DataFrame(
        {
            "id": [f"r{i}" for i in range(ROWS)],
            "origin": rng.choice(["JFK", "LGA"], ROWS),
            "signal": signal,
            "late": (rng.random(ROWS) < good({"signal": signal})).astype(int),
        }
    )

    def judge(*, challenger=None, champion=None, change=lambda frame: frame, policy=POLICY, **more):
        registry = Registry(two=challenger or Model(), one=champion or Model())
        monkeypatch.setattr(mlflow.pyfunc, "load_model", registry.models.__getitem__)
        changed = change(frame.copy())
        features = SPEC.feature_names(list(changed.columns))
        rows = Rows(
            changed.assign(**servable(changed[features])), features, held_back_rows(changed, SPEC), **more
        )
        versions = {"challenger": "two", "champion": "one"}
        return Trial(data=SPEC, policy=policy).judge(registry, "m", versions, rows).verdict

    return judge


def matrix(rows, classes=3):
    return np.full((len(rows), classes), 1 / classes)


def three(frame):
    return frame.assign(late=np.arange(len(frame)) % 3)


def yes_or_no(frame):
    return frame.assign(late=np.where(frame["late"], "yes", "no"))


def three_of_newark(frame):
    return frame.assign(origin=np.where(held_back_rows(frame, SPEC).cumsum() <= 3, "EWR", "JFK"))


def raises(rows):
    msg = "speed"
    raise KeyError(msg)


def some_nan(rows):
    return np.where(np.arange(len(rows)) < 7, np.nan, good(rows))


CLASSES = ValidationPolicy(margin={"log_loss": 0.05}, **BARS)
SAYS = "cannot score the held-back rows"
VERDICTS = {
    "challenger predicts NaN": (
        {"challenger": Model(some_nan)},
        Outcome.FAIL,
        "challenger: 7 of 780 predictions are NaN or infinite, allowed 0",
    ),
    "champion predicts NaN": (
        {"champion": Model(some_nan)},
        Outcome.INCONCLUSIVE,
        "champion: 7 of 780 predictions are NaN or infinite, allowed 0",
    ),
    "one class in the test rows": (
        {"change": lambda f: f.assign(late=1)},
        Outcome.INCONCLUSIVE,
        "all held-back labels are 1: models cannot be told apart",
    ),
    "challenger raises": (
        {"challenger": Model(raises)},
        Outcome.FAIL,
        f"challenger version two {SAYS}: KeyError: 'speed'",
    ),
    "champion raises": (
        {"champion": Model(raises)},
        Outcome.INCONCLUSIVE,
        f"champion version one {SAYS}: KeyError: 'speed'",
    ),
    "champion raises, policy goes on": (
        {"champion": Model(raises), "policy": CONTINUE},
        Outcome.WARN,
        f"champion version one {SAYS}: KeyError: 'speed'; judged against baseline and floor only, as "
        "on_unusable_champion says",
    ),
    "champion lacks a column": (
        {"champion": Model(schema=FEW)},
        Outcome.INCONCLUSIVE,
        f"champion version one {SAYS}: InvalidDataError: needs column speed, which the rows lack",
    ),
    "champion cannot be loaded": (
        {"champion": OSError("disk")},
        Outcome.INCONCLUSIVE,
        f"champion version one {SAYS}: OSError: disk",
    ),
    "champion cannot be loaded, policy goes on": (
        {"champion": OSError("disk"), "policy": CONTINUE},
        Outcome.WARN,
        f"champion version one {SAYS}: OSError: disk; judged against baseline and floor only, as "
        "on_unusable_champion says",
    ),
    "margins where probabilities are needed": (
        {"challenger": Model(lambda rows: 2 * rows["signal"]), "policy": CLASSES},
        Outcome.FAIL,
        "challenger: predictions lie between -5.88957 and 6.12925, log_loss needs probabilities",
    ),
    "probabilities that do not sum to one": (
        {"challenger": Model(lambda rows: 3 * matrix(rows)), "change": three, "policy": CLASSES},
        Outcome.FAIL,
        "challenger: probabilities of 780 of 780 rows do not sum to 1",
    ),
    "champion knows another number of classes": (
        {
            "challenger": Model(matrix),
            "champion": Model(lambda rows: matrix(rows, 4)),
            "change": three,
            "policy": CLASSES,
        },
        Outcome.INCONCLUSIVE,
        "champion: predicts 4 classes, the labels have 3",
    ),
    "champion knows two of three classes": (
        {"challenger": Model(matrix), "champion": Model(good), "change": three, "policy": CLASSES},
        Outcome.INCONCLUSIVE,
        "champion: predicts 2 classes, the labels have 3",
    ),
    "champion knows other classes": (
        {
            "challenger": Model(matrix, classes=[0, 1, 2]),
            "champion": Model(matrix, classes=[0, 1, 3]),
            "change": three,
            "policy": CLASSES,
        },
        Outcome.INCONCLUSIVE,
        f"champion version one {SAYS}: InvalidDataError: knows the classes 0, 1, 3; the data have 0, 1, 2",
    ),
    "champion of two classes knows one by another name, so that the other comes last": (
        {"champion": Model(classes=["yes", "zero"]), "change": yes_or_no},
        Outcome.INCONCLUSIVE,
        f"champion version one {SAYS}: InvalidDataError: knows the classes yes, zero; the data have no, yes",
    ),
}


@pytest.mark.parametrize("classes", [["no", "yes"], [0, 1], None], ids=["by name", "by code", "not known"])
def test_two_classes_that_the_champion_knows_are_compared(judged, classes):
    known = Model(classes=classes)
    assert judged(champion=known, challenger=known, change=yes_or_no).outcome is Outcome.PASS


@pytest.mark.parametrize(("wrong", "outcome", "reason"), VERDICTS.values(), ids=VERDICTS)
def test_what_is_wrong_with_a_model_or_the_labels_is_the_verdicts_first_reason(
    judged, wrong, outcome, reason
):
    verdict = judged(**wrong)
    assert (verdict.outcome, verdict.reasons[0]) == (outcome, reason)


NOTES = {
    "segment of three rows": (
        {"change": three_of_newark},
        "origin=EWR: 3 rows are too few to tell (needs 200 rows, 20 of each class and 20 entities)",
        Outcome.WARN,
    ),
    "labels that are not there yet": (
        {"unlabelled": 500},
        "500 rows have no label and are left out, 3000 have one",
        Outcome.PASS,
    ),
}


@pytest.mark.parametrize(("wrong", "reason", "outcome"), NOTES.values(), ids=NOTES)
def test_what_refuses_nothing_is_told_all_the_same(judged, wrong, reason, outcome):
    verdict = judged(**wrong)
    assert verdict.outcome is outcome
    assert reason in [finding.reason for finding in verdict.findings]


def bars(**margin):
    return ValidationPolicy(margin=margin, **BARS)


ERRORS = {
    "metric with a typing error": (
        {"policy": bars(roc_au=0.01)},
        InvalidConfigError,
        r"metric 'roc_au' is not known; one of: roc_auc, .*; did you mean 'roc_auc'\?",
    ),
    "scorer with a typing error": (
        {"policy": ValidationPolicy(margin={"sklearn:jacard": 0.1}, **BARS)},
        InvalidConfigError,
        r"metric 'sklearn:jacard': scikit-learn has no such scorer; one of: .*; did you mean 'jaccard'\?",
    ),
    "label column missing": (
        {"change": lambda f: f.drop(columns="late")},
        InvalidDataError,
        "column late is missing; columns: id, origin, signal",
    ),
    "classes that are numbers from one": (
        {"change": lambda f: f.assign(late=f["late"] + 1), "policy": bars(accuracy=0.01)},
        InvalidConfigError,
        "'accuracy' does not fit: labels are 2 different numbers from 1 to 2, allowed: 0 and 1, or text",
    ),
    "metric of two classes for three": (
        {"challenger": Model(matrix), "champion": Model(matrix), "change": three, "policy": bars(f1=0.01)},
        InvalidConfigError,
        "metric 'f1' does not fit: predictions are of 3 classes, allowed: accuracy, .*f1_macro",
    ),
    "metric of classes for two": (
        {"policy": bars(roc_auc_ovr=0.01)},
        InvalidConfigError,
        "metric 'roc_auc_ovr' does not fit: predictions are no matrix of classes, allowed: roc_auc",
    ),
    "registry that does not answer": (
        {"champion": ServiceUnavailableError("MLflow does not answer")},
        ServiceUnavailableError,
        "MLflow does not answer",
    ),
}


@pytest.mark.parametrize(("wrong", "error", "named"), ERRORS.values(), ids=ERRORS)
def test_what_cannot_be_judged_is_a_named_error(judged, wrong, error, named):
    with pytest.raises(error, match=named):
        judged(**wrong)


def test_classes_are_those_of_a_real_estimator():
    from sklearn.dummy import DummyClassifier

    fitted = DummyClassifier().fit([[0], [1], [2]], [0.0, 1.0, 2.0])
    raw = SimpleNamespace(metadata=Model().metadata, get_raw_model=lambda: fitted)
    assert LoadedModel(raw, ["x"]).classes == ["0", "1", "2"]
