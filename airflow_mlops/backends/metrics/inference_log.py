"""Reads the inference log of the model servers: inputs, predictions and version per request."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from airflow_mlops.backends.columns.canonical import canonical
from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    import pandas as pd

    from airflow_mlops.core.validation.metrics.base import Array

_LOGGED = ("request_id", "time", "version", "status", "inputs", "prediction")
_LOST = ("time", "lost")
_ANSWERS = pa.schema(
    [
        ("request_id", pa.string()),
        ("time", pa.float64()),
        ("version", pa.string()),
        ("status", pa.int64()),
        ("prediction", pa.float64()),
        ("scores", pa.list_(pa.float64())),
    ]
)


@dataclass(frozen=True, slots=True)
class InferenceLog:
    """Logged rows: what was answered, and the inputs apart, for a model may call its inputs anything.

    ``prediction`` is a number or the score of the last class; ``scores`` are set for more than two classes.

    :param answers: a row per request: ``request_id, time, version, status, prediction, scores``.
    :param inputs: the same rows: a column per model input.
    :param repeated: answers left out because a later one, or the only successful one, has their request id.
    :param lost: rows that were answered but could not be logged.
    """

    answers: pa.Table
    inputs: pa.Table
    repeated: int = 0
    lost: int = 0

    def to_pylist(self) -> list[dict[str, Any]]:
        """Return each row as a mapping, its inputs under ``inputs``."""
        both = zip(self.answers.to_pylist(), self.inputs.to_pylist(), strict=True)
        return [{**answer, "inputs": inputs} for answer, inputs in both]

    def of_version(self, version: str | None) -> pd.DataFrame:
        """Return what one version answered."""
        frame: pd.DataFrame = self.answers.to_pandas()
        return frame[frame["version"] == version]

    def remarks(self) -> list[str]:
        """Return what a reader should know of rows that are not there."""
        found = []
        if self.repeated:
            found.append(
                f"{self.repeated} answers have the request id of another one: the last successful counts"
            )
        if self.lost:
            found.append(f"{self.lost} answered rows could not be logged; the model server's log says why")
        return found


def read_inference_log(
    log_dir: Path,
    endpoint: str,
    *,
    since: float = 0.0,
    until: float = math.inf,
    request_ids: Collection[str] | None = None,
) -> InferenceLog:
    """Return logged rows. Of several answers to one request id the last successful one counts.

    An incomplete last line, which is still being written, is skipped.

    :param since: rows logged at or after this time, seconds since the epoch; ``until``: at or before.
    :param request_ids: only these requests.
    :raises InvalidDataError: a malformed line; names file and line.
    """
    wanted = None if request_ids is None else frozenset(request_ids)
    kept: dict[str, dict[str, Any]] = {}
    repeated = lost = 0
    for path in sorted((log_dir / endpoint).glob("*/*.jsonl")):
        if path.stat().st_mtime < since:
            continue
        for row in _rows(path):
            if not since <= row["time"] <= until or (
                wanted is not None and "lost" not in row and row["request_id"] not in wanted
            ):
                continue
            if "lost" in row:
                lost += int(row["lost"])
                continue
            known = kept.get(row["request_id"])
            repeated += known is not None
            if known is None or _rank(row) >= _rank(known):
                kept[row["request_id"]] = row
    rows = list(kept.values())
    return InferenceLog(_answered(rows), _inputs([row["inputs"] for row in rows]), repeated, lost)


def _rank(row: dict[str, Any]) -> tuple[bool, float]:
    return row["prediction"] is not None, row["time"]


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    lines = path.read_text().splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            yield {name: row[name] for name in (_LOST if "lost" in row else _LOGGED)}
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            if number == len(lines) and not line.endswith("\n"):
                return
            msg = f"{path.name} line {number}: not an inference log line: {error}"
            raise InvalidDataError(msg) from error


def _answered(rows: list[dict[str, Any]]) -> pa.Table:
    flat = [
        {**row, "prediction": _score(row["prediction"]), "scores": _scores(row["prediction"])} for row in rows
    ]
    return pa.Table.from_pylist(flat, schema=_ANSWERS)


def _inputs(rows: list[dict[str, Any]]) -> pa.Table:
    """Return a column per name, whichever rows have it; what has no common type becomes text."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: _column([row.get(name) for row in rows]) for name in names}
    return pa.table(columns) if columns else pa.Table.from_pylist([{}] * len(rows))


def _column(values: list[Any]) -> pa.Array:
    """Return JSON values as one Arrow column."""
    if any(isinstance(value, float) for value in values):
        values = [float(v) if isinstance(v, int) else v for v in values]  # true among 0.5 is 1
    try:
        return pa.array(values)
    except (pa.ArrowException, TypeError, OverflowError):
        return canonical(values)


def client_names(log: InferenceLog, column: str) -> np.ndarray[Any, np.dtype[Any]] | None:
    """Return who sent each request: an input of that name, else a column of the answers, else ``None``."""
    there = next((table for table in (log.inputs, log.answers) if column in table.column_names), None)
    if there is None:
        return None
    return np.asarray(canonical(there[column]).fill_null("none").to_numpy(zero_copy_only=False), dtype=str)


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
    listed = _listed(prediction)
    if len(listed) <= 2:
        return None
    return [float("nan") if (score := _score(value)) is None else score for value in listed]


def _score(prediction: Any) -> float | None:
    value = next(reversed(_listed(prediction)), None)
    return float(value) if isinstance(value, int | float) else None


def _listed(prediction: Any) -> list[Any]:
    """Return the parts of an answer: of a row with named columns their values that are no text."""
    if isinstance(prediction, dict):
        return [value for value in prediction.values() if not isinstance(value, str)]
    return prediction if isinstance(prediction, list) else [prediction]
