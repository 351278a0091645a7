"""Reads the inference log of the model servers: inputs, predictions and version per request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    import pandas as pd

    from airflow_mlops.core.validation.metrics.base import Array

BASE_SCHEMA = pa.schema(
    [
        ("request_id", pa.string()),
        ("time", pa.float64()),
        ("version", pa.string()),
        ("status", pa.int64()),
        ("prediction", pa.float64()),
        ("scores", pa.list_(pa.float64())),
    ]
)


def read_inference_log(
    log_dir: Path,
    endpoint: str,
    *,
    since: float = 0.0,
    request_ids: Collection[str] | None = None,
) -> pa.Table:
    """Return logged rows: the columns of :data:`BASE_SCHEMA`, then one per model input.

    ``prediction`` is a number or the score of the last class; ``scores`` are set for more than two classes.
    Of several answers to one request id the last successful one counts. An incomplete last line, which is
    still being written, is skipped.

    :param since: rows logged at or after this time, seconds since the epoch.
    :param request_ids: only these requests.
    :raises InvalidDataError: a malformed line; names file and line.
    """
    wanted = None if request_ids is None else frozenset(request_ids)
    kept: dict[str, dict[str, Any]] = {}
    for path in sorted((log_dir / endpoint).glob("*/*.jsonl")):
        if path.stat().st_mtime < since:
            continue
        for row in _rows(path):
            known = kept.get(row["request_id"])
            fits = row["time"] >= since and (wanted is None or row["request_id"] in wanted)
            if fits and (known is None or _rank(row) >= _rank(known)):
                kept[row["request_id"]] = row
    return _table(list(kept.values()))


def _rank(row: dict[str, Any]) -> tuple[bool, float]:
    return row["prediction"] is not None, row["time"]


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    lines = path.read_text().splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            yield {
                name: row[name]
                for name in ("request_id", "time", "version", "status", "inputs", "prediction")
            }
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            if number == len(lines) and not line.endswith("\n"):
                return
            msg = f"{path.name} line {number}: not an inference log line: {error}"
            raise InvalidDataError(msg) from error


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    flat = [
        {**row, "prediction": _score(row["prediction"]), "scores": _scores(row["prediction"])} for row in rows
    ]
    base = pa.Table.from_pylist(flat, schema=BASE_SCHEMA)
    if not rows:
        return base
    inputs = pa.Table.from_pylist([row["inputs"] for row in rows])
    for name in inputs.column_names:
        base = base.append_column(name, inputs.column(name))
    return base


def answers(log: pd.DataFrame) -> Array:
    """Return the predictions, shape ``(n_rows,)``, or scores, ``(n_rows, k)`` for k > 2 classes.

    NaN where there is no answer, or one of another shape.
    """
    sizes = [len(scores) for scores in log["scores"] if scores is not None]
    if not sizes:
        return log["prediction"].to_numpy(dtype=float)
    none = np.full(max(sizes), np.nan)
    fits = [none if s is None or len(s) != len(none) else np.asarray(s, dtype=float) for s in log["scores"]]
    return np.stack(fits)


def _scores(prediction: Any) -> list[float] | None:
    """Return the scores of more than two classes; of two classes ``prediction`` holds the last score."""
    if not isinstance(prediction, list) or len(prediction) <= 2:
        return None
    return [float("nan") if _score(value) is None else float(value) for value in prediction]


def _score(prediction: Any) -> float | None:
    value = prediction[-1] if isinstance(prediction, list) and prediction else prediction
    return float(value) if isinstance(value, int | float) else None
