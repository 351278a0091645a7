"""Tables of ten columns of which one number and one category may drift, and their comparison."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.core.data.skew.compare import compare_profiles


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
    return compare_profiles(reference, profile_table(frame(rng, rows, **drift), bins_from=reference))


def skewed(report):
    return {test.column for test in report.tests if test.skewed}
