"""CPU seconds of one profile pass over 1M rows x 40 columns, beside a plain decode of the same file."""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from airflow_mlops.backends.profiling.arrow import profile_window
from airflow_mlops.backends.profiling.dataset import describe_window
from airflow_mlops.core.data.skew import compare_profiles

ROWS = 1_000_000


def data():
    rng = np.random.default_rng(0)
    columns = {f"number{i}": rng.normal(size=ROWS) for i in range(20)}
    columns |= {f"integer{i}": rng.integers(0, 1000, ROWS) for i in range(8)}
    columns |= {f"category{i}": rng.choice([f"v{j}" for j in range(50)], ROWS) for i in range(8)}
    columns |= {f"key{i}": np.char.add("k", rng.integers(0, 200_000, ROWS).astype(str)) for i in range(2)}
    return pa.table(columns | {f"flag{i}": rng.random(ROWS) < 0.3 for i in range(2)})


def cpu(function, *arguments, **options):
    begin = time.process_time()
    result = function(*arguments, **options)
    return result, time.process_time() - begin


def main():
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(data(), Path(folder) / "rows.parquet")
        _, decode = cpu(pads.dataset(folder).to_table)
        window = describe_window(folder)
        reference, cold = cpu(profile_window, window)
        current, warm = cpu(profile_window, window, cells_from=reference)
        _, compared = cpu(compare_profiles, reference, current)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{ROWS:,} rows x 40 columns, CPU seconds (ratio to a plain decode); peak memory {peak:.1f} GB")
    for name, seconds in {"decode": decode, "profile, own cells": cold, "profile, known cells": warm}.items():
        print(f"{name:24}{seconds:8.2f}{seconds / decode:8.1f}x")
    print(f"{'compare two profiles':24}{compared:8.2f}")


if __name__ == "__main__":
    main()
