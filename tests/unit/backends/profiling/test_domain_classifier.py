from __future__ import annotations

from datetime import date
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from threadpoolctl import threadpool_limits

from airflow_mlops.backends.profiling.domain_classifier import tell_windows_apart
from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.core.data.skew.compare import compare_profiles
from airflow_mlops.core.errors import InvalidDataError


@pytest.fixture(autouse=True)
def one_thread():
    """Small fits are faster on one thread."""
    with threadpool_limits(1):
        yield


def frame(rng, rows, correlation=0.7):
    x, noise = rng.normal(size=(2, rows))
    y = correlation * x + (1 - correlation**2) ** 0.5 * noise
    return pa.table(
        {
            "x": x,
            "y": pa.array(y, mask=rng.random(rows) < 0.05),
            "c": rng.choice(list("abc"), rows),
            "b": rng.random(rows) < 0.3,
        }
    )


def test_flipped_correlation_is_found_that_no_column_shows():
    rng = np.random.default_rng(0)
    reference, current = frame(rng, 1500), frame(rng, 1500, correlation=-0.7)
    known = profile_table(reference)
    assert compare_profiles(known, profile_table(current, bins_from=known)).skewed_columns == ()
    result = tell_windows_apart(reference, current, rows=1000)
    assert result.skewed
    assert result.lower > 0.7
    assert f"AUC {result.auc:.3f} (lower bound {result.lower:.3f}), allowed 0.55; by " in result.sentence
    assert {importance.column for importance in result.columns} == {"x", "y"}
    assert result.sentence.endswith("; sampled 1,000 of 1,500 and 1,000 of 1,500 rows")


def test_same_sample_gives_the_same_answer():
    rng = np.random.default_rng(1)
    one, other = frame(rng, 500), frame(rng, 400)
    assert tell_windows_apart(one, other) == tell_windows_apart(one, other)
    assert (tell_windows_apart(one, other).reference_rows, tell_windows_apart(one, other).current_rows) == (
        500,
        400,
    )


def test_columns_of_every_kind_and_ignored_ones_are_handled():
    rows = 300
    table = pa.table(
        {
            "decimal": pa.array([Decimal(i % 7) for i in range(rows)]),
            "large": pa.array([2**60 + i % 5 for i in range(rows)]),
            "day": pa.array([date(2013, 1, 1 + i % 28) for i in range(rows)]),
            "code": pa.array([f"k{i}" for i in range(rows)]).dictionary_encode(),
            "infinite": pa.array([float("inf") if i % 3 else 1.0 for i in range(rows)]),
            "nothing": pa.nulls(rows, pa.float64()),
            "list": pa.array([[1]] * rows),
        }
    )
    later = table.set_column(2, "day", pa.array([date(2014, 1, 1)] * rows))
    assert tell_windows_apart(table, later).skewed
    assert not tell_windows_apart(table, later, ignore=["day"]).skewed


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ({"x": [1.0] * 50}, {"x": [1.0] * 500}, "reference window has 50 rows, allowed: 100 or more"),
        ({"x": [1.0] * 500}, {"y": [1.0] * 500}, "no column in common; columns: x and y"),
        ({"x": [1.0] * 500}, {"x": ["a"] * 500}, "no column in common"),
    ],
)
def test_windows_that_cannot_be_told_apart_are_refused(one, other, said):
    with pytest.raises(InvalidDataError, match=said):
        tell_windows_apart(pa.table(one), pa.table(other))


@pytest.mark.slow
def test_windows_without_change_are_told_apart_at_most_alpha_of_the_time():
    repetitions, hits, significant = 60, 0, 0
    for seed in range(repetitions):
        rng = np.random.default_rng(seed)
        result = tell_windows_apart(frame(rng, 500), frame(rng, 500), threshold=0.5)
        hits += result.skewed
        significant += result.p_value <= 0.05
    assert hits / repetitions <= 0.05
    assert significant / repetitions <= 0.05 + 2 * (0.05 * 0.95 / repetitions) ** 0.5
