from __future__ import annotations

import numpy as np
import pytest

from airflow_mlops.core.data.profile.sketch import (
    DISTINCT_ERROR,
    REGISTERS,
    estimate_distinct,
    join_registers,
    pack_registers,
    unpack_registers,
)


def sketch(rng, distinct):
    """Return the registers of values with ideal hashes."""
    registers = np.zeros(REGISTERS, np.uint8)
    runs = np.minimum(rng.geometric(0.5, distinct), 54).astype(np.uint8)
    np.maximum.at(registers, rng.integers(REGISTERS, size=distinct), runs)
    return registers


@pytest.mark.parametrize("distinct", [1000, 4000, 5000, 5500, 6000, 6500, 7000, 20_000])
def test_estimates_are_unbiased_and_within_the_stated_error_also_where_estimators_meet(distinct):
    rng = np.random.default_rng(distinct)
    errors = np.array([estimate_distinct(sketch(rng, distinct)) / distinct - 1 for _ in range(400)])
    assert abs(errors.mean()) < 3 * DISTINCT_ERROR / 400**0.5
    assert np.sqrt((errors**2).mean()) < DISTINCT_ERROR * (1 + 3 / 800**0.5)


@pytest.mark.parametrize("distinct", [0, 1, 2, 3])
def test_few_values_are_counted(distinct):
    registers = np.zeros(REGISTERS, np.uint8)
    registers[:distinct] = (1, 7, 30)[:distinct]
    assert estimate_distinct(registers) == pytest.approx(distinct, rel=0.001)


def test_sketches_of_two_halves_have_the_estimate_of_the_whole():
    rng = np.random.default_rng(7)
    one, other = sketch(rng, 3000), sketch(rng, 3000)
    joined = unpack_registers(join_registers(pack_registers(one), pack_registers(other)))
    assert estimate_distinct(joined) == pytest.approx(6000, rel=3 * DISTINCT_ERROR)
    assert estimate_distinct(joined) == estimate_distinct(np.maximum(one, other))
