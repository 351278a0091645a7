from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.core.data.profile.column import Column, Kind, quantiles

SHARES = (0.0, 0.1, 0.5, 0.9, 1.0)


def column(values):
    return profile_table(pa.table({"x": values})).column("x")


@pytest.mark.parametrize("seed", range(3))
def test_quantiles_are_at_most_one_cell_off(seed):
    values = np.random.default_rng(seed).gamma(2.0, 3.0, 20_000)
    found = quantiles(column(values), SHARES)
    for share, value in found.items():
        rank = (values <= value).mean()
        assert abs(rank - share) <= 1 / 32
    assert (found[0.0], found[1.0]) == (values.min(), values.max())


def test_constant_column_has_one_quantile():
    assert set(quantiles(column([7.0] * 9), SHARES).values()) == {7.0}


@pytest.mark.parametrize("values", [pa.nulls(3, pa.float64()), ["a", "b"], [float("nan")] * 3])
def test_column_without_numbers_has_no_quantiles(values):
    assert quantiles(column(values), SHARES) == {}


def test_quantiles_never_leave_the_finite_values():
    seen = Column(
        name="x",
        kind=Kind.NUMBER,
        arrow_type="double",
        infinite=10,
        minimum=1.0,
        maximum=2.0,
        edges=(1.0,),
        counts=(5, 10),
    )
    assert all(1.0 <= value <= 2.0 for value in quantiles(seen, SHARES).values())
