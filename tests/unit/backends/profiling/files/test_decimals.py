from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.backends.profiling.files.arrow import profile_table


@pytest.mark.parametrize("kind", [pa.decimal128(12, 2), pa.decimal128(38, 9), pa.decimal256(40, 2)], ids=str)
def test_decimals_are_counted_as_the_nearest_floats(kind):
    rng = np.random.default_rng(0)
    cents = [Decimal(int(v)).scaleb(-2) for v in rng.integers(-(10**9), 10**9, 50)]
    column = profile_table(pa.table({"price": pa.array([None, *cents], kind)[1:]})).column("price")
    assert column.single_values.tolist() == sorted(float(cent) for cent in cents)
    assert sorted(column.counts) == [0] * (len(column.counts) - 50) + [1] * 50


def test_decimals_that_are_all_missing_are_nulls():
    column = profile_table(pa.table({"price": pa.nulls(3, pa.decimal128(12, 2))})).column("price")
    assert (column.nulls, column.present) == (3, 0)
