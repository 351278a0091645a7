from __future__ import annotations

import numpy as np
import pytest

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.validation.comparison import judge_candidate
from airflow_mlops.core.validation.policy import SlicePolicy, ValidationPolicy
from airflow_mlops.core.validation.sample import BASELINE, CHALLENGER, CHAMPION, Sample
from airflow_mlops.core.validation.slices import conditions
from airflow_mlops.core.verdict import Outcome

ROWS = 8000


def world(rng, weak=None, rows=ROWS):
    """Absolute errors around 1; the challenger's larger by 1.5 where ``weak`` says."""
    columns = {
        "carrier": rng.choice(["AA", "B6", "UA", "WN"], rows).astype(object),
        "origin": rng.choice(["EWR", "JFK", "LGA"], rows).astype(object),
        "distance": rng.gamma(2, 500, rows),
        "hour": rng.integers(0, 8, rows).astype(float),
        "tail": np.array([f"N{i}" for i in rng.integers(0, 900, rows)], dtype=object),
    }
    labels = rng.normal(0, 5, rows)
    scores = {name: labels + rng.laplace(size=rows) for name in (CHALLENGER, CHAMPION)}
    if weak is not None:
        where = weak(columns)
        scores[CHALLENGER][where] = labels[where] + 1.5 + rng.exponential(size=where.sum())
    return Sample(labels, {**scores, BASELINE: np.zeros(rows)}, columns=columns)


def found(sample, **more):
    slices = SlicePolicy(**{"max_drop": 0.1} | more)
    policy = ValidationPolicy(margin={"mae": 0.5}, resamples=100, slices=slices)
    return [f for f in judge_candidate(sample, policy).verdict.findings if f.check == "weak_slice"]


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def test_weak_value_is_found_once_and_its_narrower_slices_are_left_out(rng):
    weak = found(world(rng, lambda c: c["carrier"] == "B6"))
    assert [f.subject for f in weak][:1] == ["carrier=B6"]
    assert not any("carrier=B6 and" in f.subject or "and carrier=B6" in f.subject for f in weak)
    assert "against champion on" in weak[0].reason


def test_weak_pair_of_conditions_is_found(rng):
    weak = found(
        world(rng, lambda c: (c["carrier"] == "UA") & (c["distance"] > np.quantile(c["distance"], 0.75)))
    )
    assert weak[0].subject.startswith(("carrier=UA and distance in (", "distance in ("))
    assert weak[0].subject.endswith("inf]")


def test_one_condition_is_all_when_the_depth_is_one(rng):
    def weak(c):
        return (c["carrier"] == "UA") & (c["origin"] == "JFK")

    assert all("and" not in f.subject for f in found(world(rng, weak), depth=1))


def test_search_of_named_columns_looks_nowhere_else(rng):
    subjects = [f.subject for f in found(world(rng, lambda c: c["carrier"] == "B6"), columns=("hour",))]
    assert subjects
    assert all(subject.startswith("hour=") for subject in subjects)


def test_missing_numbers_are_a_slice_of_their_own(rng):
    sample = world(rng)
    sample.columns["distance"][:900] = np.nan
    sample.scores[CHALLENGER][:900] += 2
    assert found(sample)[0].subject == "distance is missing"


def test_weak_slice_warns_or_fails_as_the_policy_says(rng):
    sample = world(rng, lambda c: c["carrier"] == "B6")
    for outcome in (Outcome.WARN, Outcome.FAIL):
        assert {f.outcome for f in found(sample, outcome=outcome)} == {outcome}


def test_entities_make_the_search_more_careful(rng):
    """Forty customers, one of them in the slice's favour: with the entity known nothing is sure."""
    sample = world(rng)
    customers = rng.integers(0, 40, ROWS)
    push = rng.normal(0, 1.0, 40)[customers]
    sample.scores[CHALLENGER][:] = sample.labels + 1.0 + push
    sample.scores[CHAMPION][:] = sample.labels + 1.0
    known = Sample(
        sample.labels, sample.scores, columns={"customer": customers % 8 * 1.0}, entities=customers
    )
    blind = Sample(sample.labels, sample.scores, columns={"customer": customers % 8 * 1.0})
    assert len(found(known)) < len(found(blind))


def test_text_of_many_values_is_not_searched_and_numbers_are_cut_at_quartiles(rng):
    columns = world(rng).columns
    assert conditions("tail", columns["tail"], 20) is None
    names, codes = conditions("distance", columns["distance"], 20)
    assert len(names) == 5
    assert np.bincount(codes).tolist() == [2000] * 4
    assert conditions("hour", columns["hour"], 20)[0][:2] == ["hour=0", "hour=1"]


@pytest.mark.parametrize("wrong", [{"depth": 3}, {"max_drop": -1}, {"min_rows": 2}, {"metric": "briar"}])
def test_search_that_cannot_be_meant_is_refused(wrong):
    with pytest.raises(InvalidConfigError, match=r"allowed|did you mean"):
        SlicePolicy(**wrong)


@pytest.mark.slow
def test_equal_models_have_a_weak_slice_at_most_alpha_of_the_time():
    rng = np.random.default_rng(2)
    assert sum(bool(found(world(rng, rows=3000), max_drop=0.0)) for _ in range(100)) <= 10


def test_weak_slice_is_recorded_with_bounds_that_hold_its_mean(rng):
    policy = ValidationPolicy(margin={"mae": 0.5}, resamples=100, slices=SlicePolicy(max_drop=0.1))
    report = judge_candidate(world(rng, lambda c: c["carrier"] == "B6"), policy)
    weak = report.weak_slices[0]
    assert (weak.name, weak.metric, weak.allowed) == ("carrier=B6", "mae", 0.1)
    assert weak.lower < weak.gain < weak.upper < -weak.allowed
    assert [one.name for one in report.weak_slices] == [
        f.subject for f in report.verdict.findings if f.check == "weak_slice"
    ]


def rare(rng, rows=3000):
    """One error in a hundred of the champion's is huge; on average the challenger loses what is allowed."""
    sample = world(rng, rows=rows)
    sample.scores[CHAMPION][rng.random(rows) < 0.01] += 50
    sample.scores[CHALLENGER] += np.sign(sample.scores[CHALLENGER] - sample.labels) * 0.6
    return sample


@pytest.mark.slow
def test_slice_that_lacks_rare_huge_errors_is_not_called_weak():
    """Student's t, with the slice's own variance, calls one weak in four of five searches."""
    rng = np.random.default_rng(4)
    assert sum(bool(found(rare(rng))) for _ in range(60)) <= 6
    assert found(world(rng, lambda c: c["carrier"] == "B6"))


def test_slice_that_rests_on_few_rows_in_effect_is_not_told(rng):
    sample = world(rng)
    few = np.flatnonzero(sample.columns["carrier"] == "B6")[:3]
    sample.scores[CHALLENGER][few] += 1e6
    assert found(sample) == []
