from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from airflow_mlops.backends.training.rows import Rows
from airflow_mlops.backends.validation.poisoning import poisoning
from airflow_mlops.core.errors import InvalidConfigError, InvalidDataError
from airflow_mlops.core.training.job import DatasetSpec
from airflow_mlops.core.validation.security.extraction import judge_extraction
from airflow_mlops.core.validation.security.poisoning import label_rates
from airflow_mlops.core.validation.security.security import ExtractionPolicy, PoisoningPolicy
from airflow_mlops.core.verdict import Outcome

SPEC = DatasetSpec(target="late")
POLICY = PoisoningPolicy(columns=("annotator",))


def world(rng, *, rows=20_000, noise=0.0, flipped=0.0, repeated=0.0, traitor=0.0):
    """Two features decide; ``flipped``: share of labels turned; ``repeated``: copied with the other label."""
    frame = pd.DataFrame(
        {
            "kind": rng.choice(["a", "b", "c", "d"], rows),
            "age": rng.normal(40, 10, rows),
            "annotator": rng.choice([f"p{i}" for i in range(20)], rows),
        }
    )
    late = (frame["age"] > 45) ^ (frame["kind"] == "a") ^ (rng.random(rows) < noise)
    turned = rng.random(rows) < np.where(frame["annotator"] == "p7", traitor, flipped)
    frame["late"] = (late | turned if traitor else late ^ turned).astype(int)
    copies = frame.sample(int(repeated * rows), random_state=1)
    frame = pd.concat([frame, copies.assign(late=1 - copies["late"])], ignore_index=True)
    return Rows(frame=frame, features=["kind", "age"], held_back=pd.Series(np.arange(len(frame)) % 10 == 0))


def signs(rows, policy=POLICY):
    return {f.check: f for f in poisoning(rows, SPEC, policy) if f.outcome is not Outcome.PASS}


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_clean_labels_show_no_sign(rng):
    assert signs(world(rng)) == {}


def test_labels_turned_among_near_duplicates_are_found_with_their_share(rng):
    found = signs(world(rng, flipped=0.04))
    assert set(found) == {"label_flips"}
    assert found["label_flips"].observed == pytest.approx(0.04, abs=0.01)


def test_copies_with_another_label_are_found(rng):
    assert "conflicting_duplicates" in signs(world(rng, repeated=0.02))


def test_annotator_with_an_odd_label_rate_is_named(rng):
    found = signs(world(rng, traitor=0.3))
    assert found["label_rate"].subject == "annotator=p7"
    assert "overall 0.4" in found["label_rate"].reason


def test_sign_fails_when_the_policy_says_so(rng):
    policy = PoisoningPolicy(outcome=Outcome.FAIL)
    assert signs(world(rng, flipped=0.04), policy)["label_flips"].outcome is Outcome.FAIL


def test_values_that_differ_by_nature_do_not_stand_out(rng):
    shops = np.repeat([f"s{i}" for i in range(60)], 500)
    rates = np.repeat(rng.beta(20, 40, 60), 500)
    (found,) = label_rates("shop", shops, rng.random(30_000) < rates, PoisoningPolicy())
    assert found.outcome is Outcome.PASS


def test_column_of_two_values_is_too_few_to_compare(rng):
    (found,) = label_rates("half", np.arange(400) % 2, rng.random(400) < 0.5, PoisoningPolicy())
    assert found.outcome is Outcome.PASS
    assert "too few to compare label rates" in found.reason


def test_labels_that_are_numbers_are_not_searched(rng):
    rows = world(rng)
    rows.frame["late"] = rng.normal(size=len(rows.frame))
    (found,) = poisoning(rows, SPEC, POLICY)
    assert "the heuristics are for classes" in found.reason


def test_missing_column_is_named(rng):
    with pytest.raises(InvalidDataError, match="column boss is missing"):
        poisoning(world(rng), SPEC, PoisoningPolicy(columns=("boss",)))


@pytest.mark.slow
def test_rates_of_the_heuristics_are_those_the_document_states():
    rng, clean, poisoned = np.random.default_rng(4), 0, 0
    for _ in range(40):
        clean += bool(signs(world(rng, rows=10_000, noise=0.005)))
        poisoned += "label_flips" in signs(world(rng, rows=10_000, noise=0.005, flipped=0.02))
    assert clean <= 4
    assert poisoned >= 38


def asked(rng, greedy=0, *, clients=50, hours=12):
    names = rng.choice([f"c{i}" for i in range(clients)], 40 * clients)
    times = rng.uniform(0, hours * 3600, len(names))
    return np.append(names, ["thief"] * greedy), np.append(times, rng.uniform(7200, 10_800, greedy))


@pytest.mark.parametrize(("greedy", "outcome"), [(0, Outcome.PASS), (5000, Outcome.WARN)])
def test_client_that_asks_far_more_than_others_is_named(rng, greedy, outcome):
    verdict = judge_extraction(*asked(rng, greedy), ExtractionPolicy(client="user"))
    assert verdict.outcome is outcome
    assert ("client thief: 5000 requests in an hour" in verdict.findings[0].reason) is (greedy > 0)


def test_log_that_does_not_say_who_asked_is_inconclusive(rng):
    policy = ExtractionPolicy(client="user")
    assert judge_extraction(None, np.array([1.0]), policy).outcome is Outcome.INCONCLUSIVE
    assert judge_extraction(np.array([]), np.array([]), policy).outcome is Outcome.INCONCLUSIVE


def test_level_that_cannot_be_meant_is_named_by_its_key():
    with pytest.raises(
        InvalidConfigError, match=r"validate\.poisoning\.alpha: 5, allowed: above 0 up to 0\.5"
    ):
        PoisoningPolicy(alpha=5)


@pytest.mark.parametrize(
    ("policy", "wrong"),
    [
        (PoisoningPolicy, {"flips": 1.0}),
        (PoisoningPolicy, {"outcome": Outcome.PASS}),
        (ExtractionPolicy, {"client": "user", "per_hour": 0}),
    ],
)
def test_limits_that_cannot_be_meant_are_refused(policy, wrong):
    with pytest.raises(InvalidConfigError, match="allowed"):
        policy(**wrong)
