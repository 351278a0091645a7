"""Labelled rows, split by key hash into training and hold-out; features as a model server receives them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from airflow_mlops.backends.columns.canonical import arrow_of, is_missing, row_hashes
from airflow_mlops.backends.columns.servable import plain_columns, servable, target_values
from airflow_mlops.backends.profiling.files.dataset import PARTITION_COLUMN, read_files
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    import fsspec

    from airflow_mlops.core.training.job import DatasetSpec

_HASH_RANGE = float(2**64)


@dataclass(frozen=True, slots=True)
class Rows:
    """Labelled rows of a window with the mask of those held back.

    :param frame: all columns of the window, features made servable.
    :param features: names of the feature columns, in the order the model gets them.
    :param held_back: mask of the hold-out rows.
    :param unlabelled: rows of the window that are left out because their label is missing.
    :param unkeyed: labelled rows without a whole key: they are always trained on, never held back.
    :param window: which rows they are, with the digest of what was read.
    :param partitions: partition of each row, where a column tells it.
    """

    frame: pd.DataFrame
    features: list[str]
    held_back: pd.Series[bool]
    unlabelled: int = 0
    unkeyed: int = 0
    window: Window = field(default_factory=lambda: Window(uri=""))
    partitions: pd.Series | None = None

    @property
    def training(self) -> pd.DataFrame:
        """Rows for training."""
        return self.frame[~self.held_back]

    @property
    def holdout(self) -> pd.DataFrame:
        """Hold-out rows: no model is trained on them."""
        return self.frame[self.held_back]


def read_rows(window: Window, spec: DatasetSpec, filesystem: fsspec.AbstractFileSystem | None = None) -> Rows:
    """Read a window's labelled rows.

    :param filesystem: where the window's files lie; by the URI's scheme if ``None``.
    :raises InvalidDataError: a column is missing, no row has a label, or one part has no rows.
    """
    found, table = read_files(window.uri, window.partitions, filesystem=filesystem)
    return split_rows(table, spec, found)


def split_rows(table: pa.Table, spec: DatasetSpec, window: Window) -> Rows:
    """Return the labelled rows of a window's table, with those held back marked.

    :raises InvalidDataError: a column is missing or of a type that no model can use, the label is never
        there, or one side has no rows.
    """
    key = _partition_column(table)
    partitions = table[key] if key is not None else None
    table = _without_partition_column(table, spec)
    features = spec.feature_names(table.column_names)
    table = plain_columns(table)
    labelled = ~is_missing(table[spec.target])
    table = table.filter(pa.array(labelled))
    if partitions is not None:
        partitions = partitions.filter(pa.array(labelled)).to_pandas()
    held_back, unkeyed = held_back_rows(table, spec), int(_without_key(table, spec).sum())
    if not held_back.any() or held_back.all():
        keyless = f", {unkeyed} of them without a whole key" if unkeyed else ""
        msg = f"{window.uri}: window {window.label} has {table.num_rows} labelled rows{keyless}, "
        msg += "too few to hold some back"
        raise InvalidDataError(msg)
    kept = servable(table.select(features)) | {spec.target: target_values(spec.target, table[spec.target])}
    return Rows(
        window=window,
        frame=pd.DataFrame(
            {name: kept[name] if name in kept else table[name].to_pandas() for name in table.column_names}
        ),
        features=features,
        held_back=held_back,
        unlabelled=int((~labelled).sum()),
        unkeyed=unkeyed,
        partitions=partitions,
    )


def _without_partition_column(table: pa.Table, spec: DatasetSpec) -> pa.Table:
    """Leave out the column that names the window's partitions, unless it has a role of its own.

    Requests to a model do not have it, and rows are held back whatever the folders are called.
    """
    key = _partition_column(table)
    roles = (spec.target, *spec.key, *spec.segments, *(spec.features or ()))
    return table.drop_columns(key) if key is not None and key not in roles else table


def _partition_column(table: pa.Table) -> str | None:
    key = (table.schema.metadata or {}).get(PARTITION_COLUMN)
    return key.decode() if key is not None and key.decode() in table.column_names else None


def held_back_rows(rows: pd.DataFrame | pa.Table, spec: DatasetSpec) -> pd.Series[bool]:
    """Mark the rows whose key hashes into the hold-out share; without key columns the whole row is hashed.

    A row whose key is not whole, because one of its columns is null, is never held back. What is hashed is
    the canonical form of the values: neither other rows nor the type that stores them have a say.
    """
    if isinstance(rows, pa.Table):
        table, index = rows, None
    else:
        table, index = pa.table({str(name): arrow_of(rows[name]) for name in rows}), rows.index
    keyed = table.select(list(spec.key)) if spec.key else table
    held_back = (row_hashes(keyed) / _HASH_RANGE < spec.holdout_share) & ~_without_key(table, spec)
    return pd.Series(held_back, index=index, dtype=bool)


def _without_key(table: pa.Table, spec: DatasetSpec) -> np.ndarray[Any, np.dtype[np.bool_]]:
    missing = np.zeros(table.num_rows, dtype=bool)
    for name in spec.key:
        missing |= is_missing(table[name])
    return missing
