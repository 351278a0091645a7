"""Whether two windows can be told apart by all their columns together.

A column by itself may be quiet while its relation to another one flipped. A classifier learns which window
a row is from; if it does better than chance on rows it never saw, the windows differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_mlops.backends.profiling.files.bins import kind_of, plain
from airflow_mlops.core.data.profile.column import Kind
from airflow_mlops.core.data.skew.report import Importance, MultivariateResult
from airflow_mlops.core.errors import InvalidDataError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SAMPLE_ROWS = 20_000
LEAST_ROWS = 100
LEAST_VALUES = 20
FOLDS = 3
PERMUTATIONS = 999
CATEGORIES = 200
COLUMNS = 200
NAMED = 10
IMPORTANCE_ROWS = 3000
AUC_ALLOWED = 0.55
Floats = np.ndarray[Any, np.dtype[np.float64]]


def tell_windows_apart(
    reference: pa.Table,
    current: pa.Table,
    *,
    ignore: Iterable[str] = (),
    alpha: float = 0.05,
    threshold: float = AUC_ALLOWED,
    rows: int = SAMPLE_ROWS,
    seed: int = 0,
) -> MultivariateResult:
    """Train a classifier to tell two windows apart, and judge it on rows it never saw.

    Gradient boosting on histograms (text, nulls and numbers as they are), cross-validated. In each fold
    the held-out rows' windows are permuted, which is exact if rows are independent; 3/2 of the folds'
    median p-value is valid however the folds depend on each other (Rueger 1978). Skewed when that is at
    most ``alpha`` and the lower bound of the area exceeds ``threshold``.

    :param ignore: columns that tell windows apart by their nature: keys, time stamps.
    :param threshold: area under the ROC curve that is allowed, [0.5, 1).
    :param rows: most rows sampled per window.
    :raises InvalidDataError: too few rows, or no column in common.
    :raises MissingDependencyError: scikit-learn is not installed.
    """
    names = _names(reference, current, set(ignore))
    rng = np.random.default_rng(seed)
    samples = [_sample(table.select(names), rows, rng) for table in (reference, current)]
    features, categorical = _encode(samples)
    window = np.repeat([0, 1], [sample.num_rows for sample in samples])
    folds = _folds(features, categorical, window, seed)
    aucs = [_auc(scores, window[rows_]) for _, rows_, scores in folds]
    p_values = [_permuted(scores, window[rows_], rng) for _, rows_, scores in folds]
    auc, p_value = float(np.mean(aucs)), min(1.0, 1.5 * float(np.median(p_values)))
    smaller = min(sample.num_rows for sample in samples)
    lower = max(0.0, auc - _normal_quantile(alpha) * (auc * (1 - auc) / smaller) ** 0.5)
    skewed = p_value <= alpha and lower > threshold
    columns = _importances(folds, features, window, names, rng) if skewed else ()
    sizes = [
        f"{sample.num_rows:,} of {table.num_rows:,}"
        for sample, table in zip(samples, (reference, current), strict=True)
    ]
    return MultivariateResult(
        auc=auc,
        lower=lower,
        p_value=p_value,
        threshold=threshold,
        reference_rows=samples[0].num_rows,
        current_rows=samples[1].num_rows,
        skewed=skewed,
        sentence=_sentence(auc, lower, threshold, columns, sizes),
        columns=columns,
    )


def _names(reference: pa.Table, current: pa.Table, ignore: set[str]) -> list[str]:
    for table, which in ((reference, "reference"), (current, "current")):
        if table.num_rows < LEAST_ROWS:
            msg = (
                f"multivariate check: {which} window has {table.num_rows} rows, allowed: {LEAST_ROWS} or more"
            )
            raise InvalidDataError(msg)
    kinds = [{field.name: kind_of(field.type) for field in table.schema} for table in (reference, current)]
    names = [
        name
        for name, kind in kinds[0].items()
        if name not in ignore and kind is not Kind.UNSUPPORTED and _alike(kind, kinds[1].get(name))
    ]
    if not names:
        there = " and ".join(", ".join(kind) for kind in kinds)
        msg = f"multivariate check: no column in common; columns: {there}"
        raise InvalidDataError(msg)
    return names[:COLUMNS]


def _alike(one: Kind, other: Kind | None) -> bool:
    return one is other or {one, other} == {Kind.INTEGER, Kind.NUMBER}


def _sample(table: pa.Table, rows: int, rng: np.random.Generator) -> pa.Table:
    if table.num_rows <= rows:
        return table
    return table.take(np.sort(rng.choice(table.num_rows, rows, replace=False)))


def _encode(samples: Sequence[pa.Table]) -> tuple[Floats, list[bool]]:
    """Return features ``(n_rows, n_columns)``, nan where missing, and which of them are categories.

    Of a column that is hardly ever there only its presence is a feature: a fold may not see a value.
    """
    columns, categorical = [], []
    for field in samples[0].schema:
        values = [sample.column(field.name).combine_chunks() for sample in samples]
        text = kind_of(field.type) is Kind.STRING
        codes = _codes(values) if text else np.concatenate([_numbers(v) for v in values])
        there = ~np.isnan(codes)
        rare = there.sum() < LEAST_VALUES
        categorical.append(text and not rare)
        columns.append(there.astype(float) if rare else codes)
    return np.stack(columns, axis=1), categorical


def _codes(values: Sequence[Any]) -> Floats:
    """Return numbers of categories, by their frequency in both windows; the rest share one."""
    text = pa.concat_arrays([pc.cast(plain(v), pa.large_string()) for v in values])
    counted = pc.value_counts(text.drop_null()).to_pylist()
    ranked = sorted(counted, key=lambda entry: (-entry["counts"], entry["values"]))[:CATEGORIES]
    codes = pc.index_in(text, pa.array([e["values"] for e in ranked], pa.large_string()))
    codes = pc.if_else(pc.is_null(text), None, pc.fill_null(codes, CATEGORIES))
    return _numbers(codes)


def _numbers(values: Any) -> Floats:
    values = plain(values)
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        values = pc.cast(pc.cast(values, pa.timestamp("us"), safe=False), pa.int64())
    numbers = np.asarray(pc.fill_null(pc.cast(values, pa.float64(), safe=False), float("nan")), np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


Fold = tuple[Any, np.ndarray[Any, np.dtype[np.int64]], Floats]


def _folds(features: Floats, categorical: list[bool], window: Any, seed: int) -> list[Fold]:
    """Return per fold the model, the rows it never saw, and its scores of them."""
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.model_selection import StratifiedKFold
    except ImportError as error:
        msg = "multivariate check needs scikit-learn; install it: pip install scikit-learn"
        raise MissingDependencyError(msg) from error
    folds = []
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(features, window):
        model = HistGradientBoostingClassifier(
            max_iter=60,
            max_leaf_nodes=15,
            class_weight="balanced",
            categorical_features=categorical,
            early_stopping=False,
            random_state=seed,
        )
        model.fit(features[train], window[train])
        folds.append((model, test, model.decision_function(features[test])))
    return folds


def _auc(scores: Floats, window: Any) -> float:
    from scipy.stats import rankdata

    ones = int(window.sum())
    return float(
        (rankdata(scores)[window == 1].sum() - ones * (ones + 1) / 2) / (ones * (len(window) - ones))
    )


def _permuted(scores: Floats, window: Any, rng: np.random.Generator) -> float:
    """Return the share of permutations of the windows whose area is at least the one seen."""
    from scipy.stats import rankdata

    ranks, ones = rankdata(scores), int(window.sum())
    seen = ranks[window == 1].sum()
    sums = [rng.permutation(ranks)[:ones].sum() for _ in range(PERMUTATIONS)]
    return float((1 + sum(total >= seen for total in sums)) / (PERMUTATIONS + 1))


def _normal_quantile(alpha: float) -> float:
    from scipy.stats import norm

    return float(norm.isf(alpha))


def _importances(
    folds: list[Fold], features: Floats, window: Any, names: list[str], rng: np.random.Generator
) -> tuple[Importance, ...]:
    """Return the drop of the area when a column of the held-out rows is shuffled, strongest first."""
    drops = np.zeros(len(names))
    for model, rows, _ in folds:
        kept = rng.permutation(rows)[:IMPORTANCE_ROWS]
        seen = _auc(model.decision_function(features[kept]), window[kept])
        for column in range(len(names)):
            shuffled = features[kept].copy()
            shuffled[:, column] = rng.permutation(shuffled[:, column])
            drops[column] += (seen - _auc(model.decision_function(shuffled), window[kept])) / len(folds)
    order = np.argsort(-drops)[:NAMED]
    return tuple(Importance(column=names[i], auc_drop=float(drops[i])) for i in order if drops[i] > 0.005)


def _sentence(
    auc: float, lower: float, threshold: float, columns: Sequence[Importance], sizes: Sequence[str]
) -> str:
    by = f"; by {', '.join(c.column for c in columns)}" if columns else ""
    return (
        f"all columns together: windows told apart with AUC {auc:.3f} (surely {lower:.3f}), "
        f"allowed {threshold:g}{by}; sampled {' and '.join(sizes)} rows"
    )
