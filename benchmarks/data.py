"""Windows of 40 columns, the same mix in every benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pathlib import Path

MILLION = 1_000_000
MOVED = "number0"
"""The one column that drifts where ``shift`` is given."""


def table(rows: int, *, seed: int = 0, shift: float = 0.0) -> pa.Table:
    """Return 20 normal numbers, 8 integers, 8 categories, 2 keys of 200,000 values, 2 flags.

    :param shift: added to ``number0``, in standard deviations.
    """
    rng = np.random.default_rng(seed)
    columns = {f"number{i}": rng.normal(size=rows) for i in range(20)}
    columns |= {f"integer{i}": rng.integers(0, 1000, rows) for i in range(8)}
    columns |= {f"category{i}": rng.choice([f"v{j}" for j in range(50)], rows) for i in range(8)}
    columns |= {f"key{i}": np.char.add("k", rng.integers(0, 200_000, rows).astype(str)) for i in range(2)}
    columns |= {f"flag{i}": rng.random(rows) < 0.3 for i in range(2)}
    columns[MOVED] = columns[MOVED] + shift
    return pa.table(columns)


def write(path: Path, rows: int, *, seed: int = 0, shift: float = 0.0) -> Path:
    """Write such a window as parquet, with Arrow's defaults."""
    pq.write_table(table(rows, seed=seed, shift=shift), path)
    return path


def write_many(path: Path, millions: int) -> Path:
    """Write so many million rows, a row group each, without holding them together."""
    first = table(MILLION)
    with pq.ParquetWriter(path, first.schema) as writer:
        for seed in range(millions):
            writer.write_table(first if seed == 0 else table(MILLION, seed=seed))
    return path


def write_wide(path: Path, columns: int) -> Path:
    """Write a million rows of so many columns, the mix repeated."""
    mix = table(MILLION)
    arrays = [mix.column(i % mix.num_columns) for i in range(columns)]
    names = [f"{mix.column_names[i % mix.num_columns]}_{i // mix.num_columns}" for i in range(columns)]
    pq.write_table(pa.Table.from_arrays(arrays, names=names), path)
    return path
