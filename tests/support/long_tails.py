"""Text columns with many values: long-tailed populations, random samples of them, and changes."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.core.data.skew.compare import compare_profiles


def zipf(values, exponent=1.0):
    """Return the shares of a population in which the k-th value is 1/k^exponent as frequent as the first."""
    shares = 1 / np.arange(1, values + 1) ** exponent
    return shares / shares.sum()


def even(values):
    return np.full(values, 1 / values)


def draw(rng, shares, rows):
    """Return the numbers of the values of random rows."""
    return np.searchsorted(np.cumsum(shares)[:-1], rng.random(rows), side="right")


@cache
def _words(prefix):
    return pa.array([f"{prefix}{i}" for i in range(200_001)])


def profiled(numbers, bins_from=None, prefix="v", column="c"):
    words = _words(prefix).slice(0, int(numbers.max()) + 1)
    codes = pa.DictionaryArray.from_arrays(pa.array(numbers.astype(np.int32)), words)
    return profile_table(pa.table({column: codes}), bins_from=bins_from)


def compared(reference, current, policy=None, prefix="v"):
    """Compare two arrays of numbers of values as a text column ``c``."""
    known = profiled(reference)
    return compare_profiles(known, profiled(current, known, prefix), policy)
