"""Writer of the inference log: JSON lines, one per row, in hourly files, written by a background thread."""

from __future__ import annotations

import json
import math
import os
import queue
import threading
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

_FLUSH_SECONDS = 0.5


class InferenceWriter:
    """Collects rows from any thread and appends them from its own.

    A line: ``{"request_id", "time" (epoch s), "version", "status", "inputs": {…}, "prediction"}``. Row i > 0
    of a request gets the id ``<id>/<i>``. A hard kill loses at most the last half second.
    """

    def __init__(self, folder: Path, version: str) -> None:
        self.folder = folder
        self.version = version
        self._rows: queue.SimpleQueue[tuple[str, float, int, Any, Any]] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def write(self, request_id: str, data: Any, predictions: Any, *, status: int) -> None:
        """Take the rows of one request; returns at once."""
        self._rows.put((request_id, time.time(), status, data, predictions))

    def _run(self) -> None:
        while not self._stop.wait(_FLUSH_SECONDS):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        lines = []
        while not self._rows.empty():
            lines.extend(self._lines(*self._rows.get()))
        if lines:
            hour = time.strftime("%Y%m%dT%H", time.gmtime())
            with (self.folder / f"{hour}-{os.getpid()}.jsonl").open("a") as file:
                file.write("".join(lines))

    def _lines(self, request_id: str, at: float, status: int, data: Any, predictions: Any) -> list[str]:
        inputs = data.to_dict("records") if hasattr(data, "to_dict") else [{"input": row} for row in data]
        outputs = [None] * len(inputs) if predictions is None else _listed(predictions)
        return [
            json.dumps(
                {
                    "request_id": f"{request_id}/{index}" if index else request_id,
                    "time": at,
                    "version": self.version,
                    "status": status,
                    "inputs": {name: _plain(value) for name, value in row.items()},
                    "prediction": output,
                }
            )
            + "\n"
            for index, (row, output) in enumerate(zip(inputs, outputs, strict=True))
        ]


def _listed(predictions: Any) -> list[Any]:
    values = getattr(predictions, "values", predictions)
    return values.tolist() if hasattr(values, "tolist") else list(values)


def _plain(value: Any) -> Any:
    """Return a data frame's value as JSON has it; missing values become null."""
    value = value.item() if hasattr(value, "item") else value
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value if isinstance(value, str | int | float | bool) else str(value)
