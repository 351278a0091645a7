"""Classes of a target and of a model, in canonical form: their order, the positive one, whether they differ.

Scores of two classes are of the positive one: ``data.positive``, else the last of the sorted labels, as
scikit-learn has it. A model's own order of columns is recorded with it and brought into that of the data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from airflow_mlops.backends.columns.canonical import canonical
from airflow_mlops.core.errors import InvalidDataError, TrainingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.backends.training.rows import Rows
    from airflow_mlops.core.training.job import DatasetSpec
    from airflow_mlops.core.validation.metrics.base import Array

_MOST_CLASSES = 1000
_MOST_NAMED = 10
_CODES = ["0", "1"]


def estimator_classes(model: Any) -> list[str] | None:
    """Return the ``classes_`` of a scikit-learn estimator as text; ``None`` if the model has none."""
    known = getattr(model, "classes_", None)
    return None if known is None else canonical(known).to_pylist()


def class_names(rows: Rows, spec: DatasetSpec) -> list[str] | None:
    """Return the data's classes in the order of their codes: sorted, a stated positive class last.

    ``None`` for more than a thousand.

    :raises InvalidDataError: a positive class is stated, and is not one of two.
    """
    found = np.unique(rows.frame[spec.target].to_numpy())
    if len(found) > _MOST_CLASSES:
        return _with_last([], spec) if spec.positive is not None else None
    return _with_last(canonical(found).to_pylist(), spec)


def _with_last(names: list[str], spec: DatasetSpec) -> list[str]:
    if spec.positive is None:
        return names
    stated = canonical([spec.positive])[0].as_py()
    if stated not in names or len(names) != 2:
        there = ", ".join(names[:_MOST_NAMED]) or f"more than {_MOST_CLASSES}"
        msg = f"data.positive: {spec.positive!r}, allowed: one of two classes; those of {spec.target!r} are "
        raise InvalidDataError(msg + there)
    return sorted(names, key=lambda name: name == stated)


def labels_of(rows: Rows, spec: DatasetSpec, *, is_matrix: bool) -> Array:
    """Return the label of every row: as it is, or its class code, its place among ``class_names``.

    :param is_matrix: scores have a column per class, so labels must be classes even if they are numbers.
    """
    target = rows.frame[spec.target]
    if not is_coded(rows, spec, is_matrix=is_matrix):
        return np.asarray(target.to_numpy(dtype=float), dtype=np.float64)
    found, places = np.unique(target.to_numpy(), return_inverse=True)
    codes = np.asarray(places, dtype=np.float64)
    names = canonical(found).to_pylist()
    return codes if spec.positive is None or _with_last(names, spec) == names else 1 - codes


def is_coded(rows: Rows, spec: DatasetSpec, *, is_matrix: bool) -> bool:
    """Return whether labels are judged by their class codes: text, or any of classes that are named."""
    target = rows.frame[spec.target]
    is_number = pd.api.types.is_numeric_dtype(target) or pd.api.types.is_bool_dtype(target)
    return is_matrix or not is_number or spec.positive is not None


def recorded_classes(model: Any, rows: Rows, spec: DatasetSpec, *, is_matrix: bool) -> tuple[str, ...]:
    """Return the classes in the order of the model's columns; empty where labels are numbers.

    A model that calls its classes by other names than the data keeps its own, but for the codes 0 and 1.
    """
    there, known = class_names(rows, spec), estimator_classes(model)
    if there is None:
        return ()
    if not is_coded(rows, spec, is_matrix=is_matrix) and (known is None or there != _counted(there)):
        return ()
    if known is None:
        return tuple(there)
    order = column_order(known, there, may_be_codes=True)
    return tuple(known) if order is None else tuple(there[order.index(place)] for place in range(len(order)))


def positive_of(rows: Rows, spec: DatasetSpec) -> str:
    """Return the positive class of two; empty if there are more, or one."""
    there = class_names(rows, spec) or []
    return there[-1] if len(there) == 2 else ""


def served_order(model: Any, rows: Rows, spec: DatasetSpec) -> list[int]:
    """Return the order that a trained model's scores are brought into; empty if its classes say nothing."""
    there, known = class_names(rows, spec), estimator_classes(model)
    return [] if there is None or known is None else column_order(known, there, may_be_codes=True) or []


def _counted(names: Sequence[str]) -> list[str]:
    return [str(place) for place in range(len(names))]


def column_order(known: Sequence[str], there: Sequence[str], *, may_be_codes: bool) -> list[int] | None:
    """Return where the data's classes stand among a model's; ``None`` if they are other classes.

    :param may_be_codes: names are the estimator's own, so that 0 and 1 may be its author's codes of any two
        classes; 1 is the positive one.
    """
    if sorted(known) == sorted(there):
        return [list(known).index(name) for name in there]
    if may_be_codes and sorted(known) == _CODES and len(there) == 2:
        return [list(known).index(code) for code in _CODES]
    return None


def oriented(scores: Array, order: Sequence[int]) -> Array:
    """Return scores with the columns, or the one column of two, in the data's order.

    :raises InvalidDataError: single numbers that are no probabilities, of classes in the other order.
    """
    if list(order) == sorted(order):
        return scores
    if scores.ndim == 2:
        return scores[:, list(order)] if scores.shape[1] == len(order) else scores
    if len(order) != 2 or (np.isfinite(scores) & ((scores < 0) | (scores > 1))).any():
        msg = "gives single numbers, allowed: probabilities, as its classes are in another order"
        raise InvalidDataError(msg)
    return 1 - scores


def difference(known: Sequence[str], there: Sequence[str]) -> str:
    """Return how a model's classes differ from the data's; of many, only those that do."""
    ours, theirs = list(known), list(there)
    if max(len(ours), len(theirs)) > _MOST_NAMED:
        ours, theirs = [c for c in known if c not in set(there)], [c for c in there if c not in set(known)]
    return f"knows the classes {_listed(ours)}; the data have {_listed(theirs)}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return (", ".join(map(str, names[:_MOST_NAMED])) or "none besides") + more


def labels_among(target: pd.Series, classes: Sequence[str]) -> Array:
    """Return labels of other rows by the class codes of training; NaN for an unknown class."""
    named = canonical(target).to_pandas()
    if not classes:
        return np.asarray(pd.to_numeric(named, errors="coerce"), dtype=np.float64)
    places = {name: place for place, name in enumerate(classes)}
    return np.asarray(named.map(places), dtype=np.float64)


def about_positive(
    labels: Array, scores: Array, classes: Sequence[str], positive: str
) -> tuple[Array, Array]:
    """Return class codes and answers of a server about the positive class, if that is not the last column."""
    is_turned = len(classes) == 2 and positive == classes[0]
    return (1 - labels, 1 - scores) if is_turned else (labels, scores)


def require_known_classes(model: Any, rows: Rows, spec: DatasetSpec, *, is_matrix: bool) -> None:
    """Refuse a model that was not trained on every class of the held-back rows.

    :raises TrainingError: names the classes, and what to do.
    """
    there, known = canonical(rows.training[spec.target]).unique().to_pylist(), estimator_classes(model)
    if known is None and not is_coded(rows, spec, is_matrix=is_matrix):
        return
    held = set(canonical(rows.holdout[spec.target]).unique().to_pylist())
    named_alike = known is not None and not set(there).isdisjoint(known)  # else it has names of its own
    unknown = sorted(held.difference(known if named_alike and known is not None else there))
    if unknown:
        named = ("class " if len(unknown) == 1 else "classes ") + ", ".join(unknown[:_MOST_NAMED])
        msg = f"the model does not know {named} of target {spec.target!r}, which held-back rows have: "
        msg += "no row of training has it; train on more partitions, or merge or leave out what is so rare"
        raise TrainingError(msg)
