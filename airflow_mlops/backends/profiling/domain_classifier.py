"""Domain classifier: a two-sample test on all columns jointly.

A classifier learns which of two windows a row is from. If it beats chance on held-out rows, the joint
distributions differ, even where each column's own distribution is unchanged and only a relation flipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_mlops.backends.profiling.files.bins import decode_dictionary, kind_of
from airflow_mlops.core.data.profile.column import Kind
from airflow_mlops.core.data.skew.report import Importance, MultivariateResult
from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SAMPLE_ROWS = 20_000
_LEAST_ROWS = 100
_LEAST_VALUES = 20
_FOLDS = 3
_PERMUTATIONS = 999
_MOST_CATEGORIES = 200
_MOST_COLUMNS = 200
_MOST_NAMED = 10
_IMPORTANCE_ROWS = 3000
_AUC_ALLOWED = 0.55
_LEAST_DROP = 0.005
_Floats = np.ndarray[Any, np.dtype[np.float64]]


def tell_windows_apart(
    reference: pa.Table,
    current: pa.Table,
    *,
    ignore: Iterable[str] = (),
    alpha: float = 0.05,
    threshold: float = _AUC_ALLOWED,
    rows: int = _SAMPLE_ROWS,
    seed: int = 0,
) -> MultivariateResult:
    """Cross-validate a domain classifier (histogram gradient boosting) and test its AUC on held-out rows.

    Permutation test: in each fold the window labels of the held-out rows are permuted and the fitted model's
    scores kept, which is exact if rows are independent; 3/2 of the folds' median p-value is valid under any
    dependence between folds (Rueger 1978). scikit-learn's ``permutation_test_score`` is another test: it
    refits the model for each permutation, a thousand times the cost. Skewed when the p-value is at most
    ``alpha`` and the AUC's lower bound of level ``alpha`` exceeds ``threshold``.

    :param ignore: columns that separate windows by their nature: keys, time stamps.
    :param threshold: area under the ROC curve that is allowed, [0.5, 1).
    :param rows: most rows sampled per window.
    :raises InvalidDataError: too few rows, or no column in common.
    """
    from scipy.stats import norm
    from sklearn.metrics import roc_auc_score

    names = _names(reference, current, set(ignore))
    rng = np.random.default_rng(seed)
    samples = [_sample(table.select(names), rows, rng) for table in (reference, current)]
    features, categorical = _encode(samples)
    window = np.repeat([0, 1], [sample.num_rows for sample in samples])
    folds = _folds(features, categorical, window, seed)
    aucs = [roc_auc_score(window[rows_], scores) for _, rows_, scores in folds]
    p_values = [_permutation_p_value(scores, window[rows_], rng) for _, rows_, scores in folds]
    auc, p_value = float(np.mean(aucs)), min(1.0, 1.5 * float(np.median(p_values)))
    smaller = min(sample.num_rows for sample in samples)
    lower = max(0.0, auc - float(norm.isf(alpha)) * (auc * (1 - auc) / smaller) ** 0.5)
    skewed = p_value <= alpha and lower > threshold
    columns = _importances(folds, features, window, names, seed) if skewed else ()
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
        if table.num_rows < _LEAST_ROWS:
            there = f"{which} window has {table.num_rows} rows"
            msg = f"multivariate check: {there}, allowed: {_LEAST_ROWS} or more"
            raise InvalidDataError(msg)
    kinds = [{field.name: kind_of(field.type) for field in table.schema} for table in (reference, current)]
    names = [
        name
        for name, kind in kinds[0].items()
        if name not in ignore and kind is not Kind.UNSUPPORTED and kind.is_like(kinds[1].get(name))
    ]
    if not names:
        there = " and ".join(", ".join(kind) for kind in kinds)
        msg = f"multivariate check: no column in common; columns: {there}"
        raise InvalidDataError(msg)
    return names[:_MOST_COLUMNS]


def _sample(table: pa.Table, rows: int, rng: np.random.Generator) -> pa.Table:
    if table.num_rows <= rows:
        return table
    return table.take(np.sort(rng.choice(table.num_rows, rows, replace=False)))


def _encode(samples: Sequence[pa.Table]) -> tuple[_Floats, list[bool]]:
    """Return features ``(n_rows, n_columns)``, nan where missing, and which of them are categorical.

    A column that is almost always missing contributes an indicator of presence: a fold may hold no value.
    """
    columns, categorical = [], []
    for field in samples[0].schema:
        values = [sample.column(field.name).combine_chunks() for sample in samples]
        text = kind_of(field.type) is Kind.STRING
        codes = _codes(values) if text else np.concatenate([_numbers(v) for v in values])
        there = ~np.isnan(codes)
        rare = there.sum() < _LEAST_VALUES
        categorical.append(text and not rare)
        columns.append(there.astype(float) if rare else codes)
    return np.stack(columns, axis=1), categorical


def _codes(values: Sequence[Any]) -> _Floats:
    """Return ordinal codes of categories by their frequency in both windows; rare ones share a code."""
    text = pa.concat_arrays([pc.cast(decode_dictionary(v), pa.large_string()) for v in values])
    counted = pc.value_counts(text.drop_null()).to_pylist()
    ranked = sorted(counted, key=lambda entry: (-entry["counts"], entry["values"]))[:_MOST_CATEGORIES]
    codes = pc.index_in(text, pa.array([e["values"] for e in ranked], pa.large_string()))
    codes = pc.if_else(pc.is_null(text), None, pc.fill_null(codes, _MOST_CATEGORIES))
    return _numbers(codes)


def _numbers(values: Any) -> _Floats:
    values = decode_dictionary(values)
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        values = pc.cast(pc.cast(values, pa.timestamp("us"), safe=False), pa.int64())
    numbers = np.asarray(pc.fill_null(pc.cast(values, pa.float64(), safe=False), float("nan")), np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


_Fold = tuple[Any, np.ndarray[Any, np.dtype[np.int64]], _Floats]


def _folds(features: _Floats, categorical: list[bool], window: Any, seed: int) -> list[_Fold]:
    """Return per fold the fitted model, the held-out rows, and their scores."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold

    folds = []
    for train, test in StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(features, window):
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


def _permutation_p_value(scores: _Floats, window: Any, rng: np.random.Generator) -> float:
    """Return the share of label permutations whose AUC is at least the observed one.

    The AUC is an affine function of the rank sum (Mann and Whitney), so that ranks are computed once.
    """
    from scipy.stats import rankdata

    ranks, ones = rankdata(scores), int(window.sum())
    seen = ranks[window == 1].sum()
    sums = [rng.permutation(ranks)[:ones].sum() for _ in range(_PERMUTATIONS)]
    return float((1 + sum(total >= seen for total in sums)) / (_PERMUTATIONS + 1))


def _importances(
    folds: list[_Fold], features: _Floats, window: Any, names: list[str], seed: int
) -> tuple[Importance, ...]:
    """Return the permutation importance of columns on held-out rows, largest drop of the AUC first."""
    from sklearn.inspection import permutation_importance

    rng = np.random.default_rng(seed)
    drops = np.zeros(len(names))
    for model, rows, _ in folds:
        # sampled here, not by max_samples: that compares the AUC of a sample with the AUC of all rows
        kept = rng.permutation(rows)[:_IMPORTANCE_ROWS]
        found = permutation_importance(
            model, features[kept], window[kept], scoring="roc_auc", n_repeats=1, random_state=seed
        )
        drops += found.importances_mean / len(folds)
    order = np.argsort(-drops)[:_MOST_NAMED]
    return tuple(
        Importance(column=names[i], auc_drop=float(drops[i])) for i in order if drops[i] > _LEAST_DROP
    )


def _sentence(
    auc: float, lower: float, threshold: float, columns: Sequence[Importance], sizes: Sequence[str]
) -> str:
    by = f"; by {', '.join(c.column for c in columns)}" if columns else ""
    return (
        f"all columns together: windows told apart with AUC {auc:.3f} (lower bound {lower:.3f}), "
        f"allowed {threshold:g}{by}; sampled {' and '.join(sizes)} rows"
    )
