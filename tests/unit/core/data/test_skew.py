from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.backends.profiling.arrow import profile_table
from airflow_mlops.core.data.skew import compare_profiles
from airflow_mlops.core.data.skew_policy import SkewPolicy
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.outcome import Outcome


def frame(rng, rows, *, shift=0.0, scale=1.0, mix=0.0, nulls=0.0, new=0.0):
    """Ten columns: one numeric and one category that may drift, and eight quiet ones."""
    numbers = rng.normal(shift, scale, rows)
    shares = np.array([0.4 - mix, 0.3, 0.2 + mix, 0.1])
    names = rng.choice(list("abcd"), rows, p=shares)
    names[: int(new * rows)] = "z"
    columns = {f"quiet{i}": rng.normal(0, 1, rows) for i in range(4)}
    columns |= {f"calm{i}": rng.choice(list("pqrs"), rows) for i in range(4)}
    return pa.table(
        {
            "x": pa.array(numbers, mask=rng.random(rows) < nulls),
            "c": names,
            **columns,
        }
    )


def compared(seed, rows, **drift):
    rng = np.random.default_rng(seed)
    reference = profile_table(frame(rng, rows))
    return compare_profiles(reference, profile_table(frame(rng, rows, **drift), cells_from=reference))


def skewed(report):
    return {test.column for test in report.tests if test.skewed}


@pytest.mark.parametrize(
    ("drift", "column"),
    [({"shift": 0.1}, "x"), ({"mix": 0.05}, "c"), ({"nulls": 0.05}, "x"), ({"new": 0.03}, "c")],
    ids=["mean", "mix", "nulls", "new category"],
)
def test_drift_is_found_in_its_column_and_said_in_words(drift, column):
    report = compared(1, 100_000, **drift)
    assert skewed(report) == {column}
    assert report.verdict.outcome is Outcome.FAIL
    assert report.verdict.reasons[0].startswith(f"{column}: ")


def test_no_drift_is_quiet():
    report = compared(2, 10_000)
    assert report.verdict.outcome is Outcome.PASS
    assert len(report.tests) == 10 + 5 + 5 + 5  # null shares, numbers, categories, new categories


def test_small_change_that_is_sure_but_allowed_is_quiet():
    rng = np.random.default_rng(3)
    reference = profile_table(frame(rng, 200_000))
    current = profile_table(frame(rng, 200_000, shift=0.05), cells_from=reference)
    assert skewed(compare_profiles(reference, current)) == {"x"}
    assert skewed(compare_profiles(reference, current, SkewPolicy(ks=0.05))) == set()


def test_column_without_a_counterpart_is_named_not_passed_over():
    reference = profile_table(pa.table({"x": [1.0] * 50, "k": [1.0] * 50}))
    current = profile_table(pa.table({"x": [1.0] * 50, "k": ["a"] * 50, "y": [1.0] * 50}))
    report = compare_profiles(reference, current)
    assert report.not_compared == ("k", "y")
    assert "k: not in the reference, or of another kind" in report.verdict.reasons[0]


def test_nothing_in_common_is_inconclusive_or_worse_never_a_pass():
    reference, current = (profile_table(pa.table({name: [1.0] * 50})) for name in "ab")
    assert compare_profiles(reference, current).verdict.outcome is not Outcome.PASS


@pytest.mark.parametrize("wrong", [{"alpha": 0}, {"ks": 1}, {"null_share": -0.1}])
def test_threshold_that_cannot_be_meant_is_refused(wrong):
    with pytest.raises(InvalidConfigError, match=next(iter(wrong))):
        SkewPolicy(**wrong)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1_000, 10_000])
def test_windows_without_drift_are_flagged_at_most_alpha_of_the_time(rows):
    repetitions = 200
    flagged = sum(bool(skewed(compared(seed, rows))) for seed in range(repetitions))
    assert flagged / repetitions <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize(
    ("drift", "column", "power"),
    [({"shift": 0.1}, "x", 1.0), ({"mix": 0.05}, "c", 1.0), ({"scale": 1.1}, "x", 0.9)],
    ids=["mean", "mix", "deviation"],
)
def test_drift_is_found_with_the_stated_power_at_100_thousand_rows(drift, column, power):
    repetitions = 20
    found = sum(column in skewed(compared(seed, 100_000, **drift)) for seed in range(repetitions))
    assert found / repetitions >= power
