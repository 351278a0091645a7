"""Held-back rows as a sample: classes, entities and queries as codes, and a digest of the rows."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from airflow_mlops.backends.columns.canonical import HASH_KEY, arrow_of, canonical, row_hashes
from airflow_mlops.backends.validation.models import estimator_classes
from airflow_mlops.core.errors import InvalidDataError, TrainingError
from airflow_mlops.core.validation.sample import BASELINE, Sample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_mlops.backends.training.rows import Rows
    from airflow_mlops.core.training.job import DatasetSpec
    from airflow_mlops.core.validation.metrics.base import Array, BoolArray
    from airflow_mlops.core.validation.policy import ValidationPolicy

_MOST_CLASSES = 1000
_MOST_NAMED = 10


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
    _require(held, [*policy.entity, *([policy.query] if policy.query else []), *_groups(policy)])
    is_matrix = any(values.ndim == 2 for values in scores.values())
    labels, back = labels_of(rows, spec, is_matrix=is_matrix), rows.held_back.to_numpy()
    classes = int(labels.max()) + 1 if is_matrix else None
    baseline = _baseline(labels, back, is_matrix=is_matrix, is_ranked=bool(policy.query))
    return Sample(
        labels=labels[back],
        scores={**scores, BASELINE: baseline},
        segments={name: _text(held[name]) for name in spec.segments},
        groups={name: _text(held[name]) for name in _groups(policy)},
        entities=_codes(held, policy.entity) if policy.entity else None,
        queries=_codes(held, [policy.query]) if policy.query else None,
        columns={name: _values(held[name]) for name in rows.features},
        unusable=dict(unusable),
        classes=classes,
        digest=rows_digest(held[[*spec.key, *rows.features, spec.target]]),
    )


def rows_digest(frame: pd.DataFrame) -> str:
    """Return a digest of rows that is independent of their order."""
    unique = frame.loc[:, ~frame.columns.duplicated()]
    hashes = pd.util.hash_pandas_object(unique, index=False, hash_key=HASH_KEY).to_numpy()
    return f"sha256:{hashlib.sha256(np.sort(hashes).tobytes()).hexdigest()}"


def held_back_digest(rows: Rows, spec: DatasetSpec) -> str:
    """Return a digest of which rows are held back, by their keys, in any order, storage type and schema.

    Without a key it is that of the whole rows.
    """
    held = rows.holdout[list(spec.key)] if spec.key else rows.holdout
    hashes = row_hashes(pa.table({name: arrow_of(held[name]) for name in held}))
    return f"sha256:{hashlib.sha256(np.sort(hashes).tobytes()).hexdigest()}"


def labels_of(rows: Rows, spec: DatasetSpec, *, is_matrix: bool) -> Array:
    """Return the label of every row: as it is, or its class code, by the order of the sorted classes.

    :param is_matrix: scores have a column per class, so labels must be classes even if they are numbers.
    """
    target = rows.frame[spec.target]
    if _is_coded(target, is_matrix=is_matrix):
        codes = np.unique(target.to_numpy(), return_inverse=True)[1]
        return np.asarray(codes, dtype=np.float64)
    return np.asarray(target.to_numpy(dtype=float), dtype=np.float64)


def classes_of(rows: Rows, spec: DatasetSpec, *, is_matrix: bool) -> tuple[str, ...]:
    """Return the classes in the order of ``labels_of``'s codes; empty where labels are numbers."""
    if not _is_coded(rows.frame[spec.target], is_matrix=is_matrix):
        return ()
    return tuple(canonical(np.unique(rows.frame[spec.target].to_numpy())).to_pylist())


def labels_among(target: pd.Series, classes: Sequence[str]) -> Array:
    """Return labels of other rows by the class codes of training; NaN for an unknown class."""
    named = canonical(target).to_pandas()
    if not classes:
        return np.asarray(pd.to_numeric(named, errors="coerce"), dtype=np.float64)
    places = {name: place for place, name in enumerate(classes)}
    return np.asarray(named.map(places), dtype=np.float64)


def _is_coded(target: pd.Series, *, is_matrix: bool) -> bool:
    is_number = pd.api.types.is_numeric_dtype(target) or pd.api.types.is_bool_dtype(target)
    return is_matrix or not is_number


def class_names(rows: Rows, spec: DatasetSpec) -> list[str] | None:
    """Return the data's classes as text, in the order of their codes; ``None`` for more than a thousand."""
    found = np.unique(rows.frame[spec.target].to_numpy())
    return canonical(found).to_pylist() if len(found) <= _MOST_CLASSES else None


def require_known_classes(model: Any, rows: Rows, spec: DatasetSpec, *, is_matrix: bool) -> None:
    """Refuse a model that was not trained on every class of the held-back rows.

    :raises TrainingError: names the classes, and what to do.
    """
    there, known = canonical(rows.training[spec.target]).unique().to_pylist(), estimator_classes(model)
    if known is None and not _is_coded(rows.frame[spec.target], is_matrix=is_matrix):
        return
    held = set(canonical(rows.holdout[spec.target]).unique().to_pylist())
    named_alike = known is not None and not set(there).isdisjoint(known)  # else it has names of its own
    unknown = sorted(held.difference(known if named_alike and known is not None else there))
    if unknown:
        named = ("class " if len(unknown) == 1 else "classes ") + ", ".join(unknown[:_MOST_NAMED])
        msg = f"the model does not know {named} of target {spec.target!r}, which held-back rows have: "
        msg += "no row of training has it; train on more partitions, or merge or leave out what is so rare"
        raise TrainingError(msg)


def _baseline(labels: Array, held: BoolArray, *, is_matrix: bool, is_ranked: bool) -> Array:
    """Return predictions of the trivial baseline: mean or class shares of the training labels."""
    known, rows = labels[~held], int(held.sum())
    if is_matrix:
        counts = np.bincount(known.astype(np.int64), minlength=int(labels.max()) + 1)
        return np.tile(counts / len(known), (rows, 1))
    return np.full(rows, 0.0 if is_ranked else float(known.mean()))


def _groups(policy: ValidationPolicy) -> list[str]:
    return list(dict.fromkeys(rule.column for rule in policy.fairness))


def _require(frame: pd.DataFrame, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in frame]
    if missing:
        msg = (
            f"validate: column {', '.join(missing)} is missing; columns: {', '.join(map(str, frame.columns))}"
        )
        raise InvalidDataError(msg)


def _codes(frame: pd.DataFrame, names: Sequence[str]) -> Any:
    return frame.groupby(list(names), dropna=False, sort=False).ngroup().to_numpy(dtype=np.int64)


def _text(column: pd.Series) -> Any:
    return pc.fill_null(canonical(column), "missing").to_numpy(zero_copy_only=False)


def _values(column: pd.Series) -> Any:
    return column.to_numpy() if column.dtype.kind == "f" else _text(column)
