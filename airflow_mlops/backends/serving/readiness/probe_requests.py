"""Probe requests for a model's signature: its input example, and edge cases per column."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.release.readiness import ProbeKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MOST_COLUMNS = 100
UNSEEN = "\u2603 never seen"
_FLOATS = ("float", "double")
_INTEGERS = {"integer": 2**31 - 1, "long": 2**53}
"""Largest integers; beyond 2**53 JSON readers round."""
_LARGEST_FLOAT32 = 3.4e38
_EMPTY: dict[str, Any] = {"string": "a", "boolean": False, "datetime": "2020-01-01T00:00:00", "binary": ""}


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """One probe request.

    :param rows: number of expected predictions.
    """

    kind: ProbeKind
    subject: str
    body: bytes
    rows: int = 1


@dataclass(frozen=True, slots=True)
class Inputs:
    """Named input columns of a model, their MLflow types, and valid rows.

    :param has_example: whether ``rows`` come from the model's example.
    """

    types: dict[str, str]
    rows: list[list[Any]]
    has_example: bool

    def request(self, kind: ProbeKind, subject: str, rows: list[list[Any]]) -> ProbeRequest:
        """Return a probe request for rows."""
        return ProbeRequest(kind, subject, _body(list(self.types), rows), len(rows))


def inputs_of(model_dir: Path) -> Inputs | None:
    """Read signature and example of a model folder; ``None`` without a signature with named columns."""
    from mlflow.models import Model

    model = Model.load(str(model_dir))
    schema = model.get_input_schema()
    if schema is None or not schema.has_input_names() or schema.is_tensor_spec():
        return None
    types = {str(one.name): getattr(one.type, "name", "any") for one in schema.inputs}
    example = model.load_input_example(str(model_dir))
    if example is None or not set(types) <= set(getattr(example, "columns", ())):
        return Inputs(types, [[_EMPTY.get(kind, 0) for kind in types.values()]], has_example=False)
    rows = json.loads(example[list(types)].to_json(orient="values", date_format="iso"))
    return Inputs(types, rows, has_example=True)


def probe_requests(inputs: Inputs, largest: float) -> Iterator[ProbeRequest]:
    """Yield the example, malformed bodies, then edge cases: one column of the first row changed at a time.

    :param largest: magnitude of the extreme values in columns of doubles.
    """
    yield inputs.request(ProbeKind.EXAMPLE, "input example", inputs.rows)
    yield ProbeRequest(ProbeKind.MALFORMED, "body that is no JSON", b"{", 0)
    yield ProbeRequest(ProbeKind.MALFORMED, "body without rows", b"{}", 0)
    for name, kind in list(inputs.types.items())[:_MOST_COLUMNS]:
        for kind_of_probe, subject, value in _edge_cases(name, kind, largest):
            yield inputs.request(kind_of_probe, subject, [_with(inputs, {name: value})])
    yield inputs.request(ProbeKind.NULLS, "null in every column", [[None] * len(inputs.types)])


def response_problem(text: str, rows: int) -> str:
    """Return the problem of a 200's body; empty if it has a valid prediction for each row."""
    try:
        predictions = json.loads(text)["predictions"]
    except (ValueError, KeyError, TypeError):
        return "no predictions in the body"
    if not isinstance(predictions, list) or len(predictions) != rows:
        got = len(predictions) if isinstance(predictions, list) else type(predictions).__name__
        return f"{got} predictions for {rows} rows"
    bad = sum(not _is_valid(value) for one in predictions for value in _flat(one))
    return f"{bad} predictions are null, NaN or infinite" if bad else ""


def _edge_cases(name: str, kind: str, largest: float) -> Iterator[tuple[ProbeKind, str, Any]]:
    yield ProbeKind.NULLS, f"null in {name}", None
    if kind == "string":
        yield ProbeKind.UNSEEN, f"unseen category in {name}", UNSEEN
        yield ProbeKind.EXTREMES, f"empty text in {name}", ""
    elif kind in _FLOATS or kind in _INTEGERS:
        most = _INTEGERS.get(kind) or (min(largest, _LARGEST_FLOAT32) if kind == "float" else largest)
        yield ProbeKind.EXTREMES, f"{most:g} in {name}", most
        yield ProbeKind.EXTREMES, f"{-most:g} in {name}", -most


def _with(inputs: Inputs, changes: dict[str, Any]) -> list[Any]:
    return list((dict(zip(inputs.types, inputs.rows[0], strict=True)) | changes).values())


def _body(columns: list[str], rows: list[list[Any]]) -> bytes:
    return json.dumps({"dataframe_split": {"columns": columns, "data": rows}}, allow_nan=False).encode()


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        yield value
        return
    for part in value:
        yield from _flat(part)


def _is_valid(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) or (isinstance(value, str) and value not in ("", "NaN"))
