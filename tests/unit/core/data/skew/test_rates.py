"""Error rates of the skew rule, by simulation: false alarms, power, and moves that are allowed."""

from __future__ import annotations

import numpy as np
import pytest
from drifting import compared, skewed

from airflow_mlops.core.data.profile.column import Column, Kind
from airflow_mlops.core.data.profile.profile import Profile
from airflow_mlops.core.data.skew.compare import compare_profiles
from airflow_mlops.core.data.skew.policy import SkewPolicy


@pytest.mark.slow
@pytest.mark.parametrize("columns", [10, 40])
@pytest.mark.parametrize(
    ("n", "m"), [(10**3, 10**3), (10**4, 10**4), (10**5, 10**5), (10**6, 10**6), (10**6, 10**3)]
)
def test_windows_without_drift_are_flagged_at_most_alpha_of_the_time(n, m, columns):
    """Counts per bin are drawn instead of rows: the same law."""
    rng, repetitions = np.random.default_rng(n + columns), 200
    pairs = ((drawn(rng, n, columns), drawn(rng, m, columns)) for _ in range(repetitions))
    assert sum(bool(skewed(compare_profiles(*pair))) for pair in pairs) / repetitions <= 0.05


def drawn(rng, rows, columns):
    """Half numbers in 64 bins, half categories with rare ones, 2 % nulls."""
    nulls = rng.binomial(rows, 0.02, columns).tolist()
    shares = 1 / np.arange(1, 31) ** 1.5
    parts = []
    for i, missing in enumerate(nulls):
        known = {"name": f"c{i}", "nulls": missing, "arrow_type": ""}
        if i % 2:
            bins = {"edges": tuple(map(float, range(63)))}
            counts = tuple(rng.multinomial(rows - missing, np.full(64, 1 / 64)).tolist())
            parts.append(Column(kind=Kind.NUMBER, counts=counts, **bins, **known))
        else:
            *named, other = rng.multinomial(rows - missing, shares / shares.sum()).tolist()
            names = dict(zip([f"v{j}" for j in range(29)], named, strict=True))
            parts.append(Column(kind=Kind.STRING, categories=names, other=other, **known))
    return Profile(rows=rows, columns=tuple(parts))


@pytest.mark.slow
def test_moves_within_the_threshold_are_flagged_at_most_alpha_of_the_time():
    """40 columns that all moved by what is allowed: the bounds hold for all of them together."""
    rng, repetitions, hits = np.random.default_rng(8), 200, 0
    even = np.full(64, 1 / 64)
    tilted = even * (1 + 0.04 * np.where(np.arange(64) < 32, 1, -1))  # KS 0.02
    for _ in range(repetitions):
        sides = [
            Profile(
                rows=10**5,
                columns=tuple(
                    Column(
                        name=f"c{i}",
                        kind=Kind.NUMBER,
                        arrow_type="double",
                        edges=tuple(map(float, range(63))),
                        counts=tuple(rng.multinomial(10**5, p).tolist()),
                    )
                    for i in range(40)
                ),
            )
            for p in (even, tilted)
        ]
        hits += bool(skewed(compare_profiles(*sides, SkewPolicy(ks=0.02))))
    assert hits / repetitions <= 0.05


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
