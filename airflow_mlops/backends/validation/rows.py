"""Held-back rows as a sample: entities and queries as codes, and a digest of the rows."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from airflow_mlops.backends.columns.canonical import HASH_KEY, arrow_of, canonical, row_hashes
from airflow_mlops.backends.validation.classes import labels_of
from airflow_mlops.core.did_you_mean import did_you_mean
from airflow_mlops.core.errors import InvalidDataError
from airflow_mlops.core.validation.evaluation import FEWEST_BLOCKS
from airflow_mlops.core.validation.report import first_of, warned
from airflow_mlops.core.validation.sample import BASELINE, Sample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_mlops.backends.training.rows import Rows
    from airflow_mlops.core.training.job import DatasetSpec
    from airflow_mlops.core.validation.metrics.base import Array, BoolArray
    from airflow_mlops.core.validation.policy import ValidationPolicy
    from airflow_mlops.core.verdict import Finding

_MOST_NAMED = 12
_MANY_VALUES = 50


def sample_of(
    rows: Rows,
    spec: DatasetSpec,
    policy: ValidationPolicy,
    scores: Mapping[str, Array],
    unusable: Mapping[str, str],
) -> Sample:
    """Return the held-back rows with each model's scores.

    :raises InvalidDataError: a column the policy names is missing; names it.
    """
    held = rows.holdout
    require_named(held, policy)
    is_matrix = any(values.ndim == 2 for values in scores.values())
    labels, back = labels_of(rows, spec, is_matrix=is_matrix), rows.held_back.to_numpy()
    classes = int(labels.max()) + 1 if is_matrix else None
    baseline = _baseline(labels, back, is_matrix=is_matrix, is_ranked=bool(policy.query))
    return Sample(
        labels=labels[back],
        scores={**scores, BASELINE: baseline},
        segments={name: text_values(held[name]) for name in spec.segments},
        groups={name: text_values(held[name]) for name in _groups(policy)},
        entities=entities_of(held, policy),
        queries=queries_of(held, policy),
        columns={name: _values(held[name]) for name in rows.features},
        unusable=dict(unusable),
        classes=classes,
        windows=windows_of(rows),
        ids=_ids(rows, spec),
        digest=rows_digest(held[[*spec.key, *rows.features, spec.target]]),
    )


def windows_of(rows: Rows) -> Any:
    """Return day or partition of each held-back row: what happened then, rows of one share.

    That is the day in the only column of times, if there are many days; else the partition. ``None`` if
    neither tells rows apart.
    """
    times = [name for name in rows.frame if rows.frame[name].dtype.kind == "M"]
    days = days_of(rows.holdout[times[0]]) if len(times) == 1 else None
    found = days
    if rows.partitions is not None and (days is None or days.nunique() < FEWEST_BLOCKS):
        found = rows.partitions[rows.held_back.to_numpy()]
    return None if found is None or found.nunique() < 2 else text_values(found)


def days_of(times: Any) -> Any:
    """Return the local day of each time of a column: some zones have days without a midnight."""
    return times.dt.tz_localize(None).dt.floor("D")


def _ids(rows: Rows, spec: DatasetSpec) -> dict[str, Any]:
    """Return the columns that may identify clusters: those that are no features, and text of many values."""
    held, known = rows.holdout, {spec.target, *spec.segments}
    found = {}
    for name in held:
        many = name not in rows.features or held[name].nunique() > _MANY_VALUES
        if many and name not in known and held[name].dtype.kind != "f":
            found[str(name)] = _codes(held, [str(name)])
    return found


def rows_digest(frame: pd.DataFrame) -> str:
    """Return a digest of rows that is independent of their order."""
    unique = frame.loc[:, ~frame.columns.duplicated()]
    hashes = pd.util.hash_pandas_object(unique, index=False, hash_key=HASH_KEY).to_numpy()
    return f"sha256:{hashlib.sha256(np.sort(hashes).tobytes()).hexdigest()}"


def absent_segments(rows: Rows, spec: DatasetSpec) -> list[Finding]:
    """Name the declared segments of a window of which no row is held back: nothing is known of them."""
    return [one for name in spec.segments if (one := _absent(name, rows.frame[name], rows.held_back))]


def _absent(name: str, column: pd.Series, held: pd.Series[bool]) -> Finding | None:
    texts = pd.Series(text_values(column), index=column.index)
    counts = texts[~texts.isin(set(texts[held]))].value_counts()
    if counts.empty:
        return None
    named = first_of([f"{name}={value} ({count})" for value, count in counts.items()], _MOST_NAMED)
    reason = f"{name}: {len(counts)} segments of the window have no held-back row (rows): {named}"
    return warned("absent_segments", name, reason, len(counts))


def segment_sizes(column: pd.Series) -> dict[str, int]:
    """Return the rows of each value, as text."""
    values, counts = np.unique(text_values(column), return_counts=True)
    return dict(zip(map(str, values), map(int, counts), strict=True))


def held_back_digest(rows: Rows, spec: DatasetSpec) -> str:
    """Return a digest of which rows are held back, by their keys, in any order, storage type and schema.

    Without a key it is that of the whole rows.
    """
    held = rows.holdout[list(spec.key)] if spec.key else rows.holdout
    hashes = row_hashes(pa.table({name: arrow_of(held[name]) for name in held}))
    return f"sha256:{hashlib.sha256(np.sort(hashes).tobytes()).hexdigest()}"


def _baseline(labels: Array, held: BoolArray, *, is_matrix: bool, is_ranked: bool) -> Array:
    """Return predictions of the trivial baseline: mean or class shares of the training labels."""
    known, rows = labels[~held], int(held.sum())
    if is_matrix:
        counts = np.bincount(known.astype(np.int64), minlength=int(labels.max()) + 1)
        return np.tile(counts / len(known), (rows, 1))
    return np.full(rows, 0.0 if is_ranked else float(known.mean()))


def _groups(policy: ValidationPolicy) -> list[str]:
    return list(dict.fromkeys(rule.column for rule in policy.fairness))


def require_named(frame: pd.DataFrame, policy: ValidationPolicy) -> None:
    """Refuse a policy that names a column which is not there.

    :raises InvalidDataError: names the key, the column, those that there are, and the closest.
    """
    named = (
        ("entity", policy.entity),
        ("query", (policy.query,) if policy.query else ()),
        ("fairness", _groups(policy)),
    )
    for key, names in named:
        missing = [name for name in names if name not in frame]
        if missing:
            there = ", ".join(map(str, frame.columns))
            msg = f"validate.{key}: column {', '.join(missing)} is missing; columns: {there}"
            raise InvalidDataError(msg + did_you_mean(missing[0], frame.columns))


def entities_of(held: pd.DataFrame, policy: ValidationPolicy) -> Any:
    """Return a code of the entity that owns each row; ``None`` if the policy names none."""
    return _codes(held, policy.entity) if policy.entity else None


def queries_of(held: pd.DataFrame, policy: ValidationPolicy) -> Any:
    """Return a code of the query that each row answers; ``None`` if the policy names no column of them."""
    return _codes(held, [policy.query]) if policy.query else None


def _codes(frame: pd.DataFrame, names: Sequence[str]) -> Any:
    return frame.groupby(list(names), dropna=False, sort=False).ngroup().to_numpy(dtype=np.int64)


def text_values(column: pd.Series) -> Any:
    """Return the canonical text of a column's values; "missing" where there is none."""
    return pc.fill_null(canonical(column), "missing").to_numpy(zero_copy_only=False)


def _values(column: pd.Series) -> Any:
    return column.to_numpy() if column.dtype.kind == "f" else text_values(column)
