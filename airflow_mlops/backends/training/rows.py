"""Labelled rows, split by key hash into training and hold-out; features as a model server receives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from airflow_mlops.backends.profiling.files.dataset import PARTITION_COLUMN, read_files, read_window
from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import fsspec
    import pyarrow as pa

    from airflow_mlops.core.data.window import Window
    from airflow_mlops.core.training.job import DatasetSpec

HASH_KEY = "airflow_mlops_v1"  # 16 characters; changing it would hold back other rows
_PARTITION_COLUMN = PARTITION_COLUMN.decode()
_HASH_RANGE = float(2**64)


@dataclass(frozen=True, slots=True)
class Rows:
    """Labelled rows of a window with the mask of those held back.

    :param frame: all columns of the window, features made servable.
    :param features: names of the feature columns, in the order the model gets them.
    :param held_back: mask of the hold-out rows.
    :param unlabelled: rows of the window that are left out because their label is missing.
    """

    frame: pd.DataFrame
    features: list[str]
    held_back: pd.Series[bool]
    unlabelled: int = 0

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
    return split_rows(_as_frame(read_window(window, filesystem=filesystem)), spec, window)


def read_frame(
    uri: str,
    partitions: Sequence[str],
    columns: Sequence[str] | None = None,
    filesystem: fsspec.AbstractFileSystem | None = None,
) -> tuple[Window, pd.DataFrame]:
    """Read rows as a data frame; return the window they are, with its digest, and the frame.

    :param columns: columns to be read, all if ``None``.
    :raises InvalidDataError: nothing there, no rows, an unreadable file, a missing column.
    """
    window, table = read_files(uri, partitions, columns, filesystem)
    return window, _as_frame(table)


def _as_frame(table: pa.Table) -> pd.DataFrame:
    """Return rows as a data frame that knows which column, if any, names the window's partitions."""
    frame: pd.DataFrame = table.to_pandas()
    key = (table.schema.metadata or {}).get(PARTITION_COLUMN, b"").decode()
    frame.attrs[_PARTITION_COLUMN] = key
    return frame


def _without_partition_column(frame: pd.DataFrame, spec: DatasetSpec) -> pd.DataFrame:
    """Leave out the column that names the window's partitions, unless it has a role of its own.

    Requests to a model do not have it, and rows are held back whatever the folders are called.
    """
    key = frame.attrs.get(_PARTITION_COLUMN, "")
    roles = (spec.target, *spec.key, *spec.segments, *(spec.features or ()))
    return frame.drop(columns=key) if key in frame and key not in roles else frame


def split_rows(frame: pd.DataFrame, spec: DatasetSpec, window: Window) -> Rows:
    """Return the labelled rows of a window's frame, with those held back marked.

    :raises InvalidDataError: a column is missing, the label is never there, or one side has no rows.
    """
    frame = _without_partition_column(frame, spec)
    features = spec.feature_names(list(frame.columns))
    labelled = frame[spec.target].notna()
    frame = frame[labelled].reset_index(drop=True)
    held_back = held_back_rows(frame, spec)
    if not held_back.any() or held_back.all():
        msg = f"{window.uri}: window {window.label} has {len(frame)} labelled rows, too few to hold some back"
        raise InvalidDataError(msg)
    return Rows(
        frame=frame.assign(**servable(frame[features])),
        features=features,
        held_back=held_back,
        unlabelled=int((~labelled).sum()),
    )


def held_back_rows(frame: pd.DataFrame, spec: DatasetSpec) -> pd.Series[bool]:
    """Mark the rows whose key hashes into the hold-out share; without a key the whole row is hashed."""
    keyed = frame[list(spec.key)] if spec.key else frame
    hashes = pd.util.hash_pandas_object(keyed, index=False, hash_key=HASH_KEY)
    return hashes / _HASH_RANGE < spec.holdout_share


def servable(features: pd.DataFrame) -> pd.DataFrame:
    """Convert features to what a JSON request holds: numbers as floats (null is NaN), booleans, text.

    :raises InvalidDataError: a feature of another type; names it.
    """
    return pd.DataFrame({name: _servable(features[name]) for name in features}, index=features.index)


def _servable(column: pd.Series) -> pd.Series:
    if pd.api.types.is_bool_dtype(column):
        return column.astype("bool")
    if pd.api.types.is_numeric_dtype(column):
        return column.astype("float64")
    if pd.api.types.is_string_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype):
        text = column.astype("object")
        return text.where(text.notna(), None)
    msg = f"feature {column.name!r} is {column.dtype}, allowed: numbers, booleans, text"
    raise InvalidDataError(msg)
