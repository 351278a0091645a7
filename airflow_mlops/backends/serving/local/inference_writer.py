"""Writer of the inference log: JSON lines, one per row, in hourly files, written by a background thread."""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
import time
from collections.abc import Mapping, Sized
from typing import TYPE_CHECKING, Any, Self

from airflow_mlops.backends.serving.local.logged_rows import input_rows, output_rows

if TYPE_CHECKING:
    from pathlib import Path

_FLUSH_SECONDS = 0.5
_MOST_WAITING = 100_000
"""Lines that wait while the disk does not take them; the oldest beyond are lost, and counted."""
_logger = logging.getLogger(__name__)


class InferenceWriter:
    """Collects rows from any thread and appends them from its own, which nothing in a row can end.

    A line: ``{"request_id", "time" (epoch s), "version", "status", "inputs": {…}, "prediction"}``. Row i > 0
    of a request gets the id ``<id>/<i>``. Rows that could not be logged are counted in a line of their own,
    ``{"lost", "time", "version"}``, and the process's log says why. A hard kill loses at most the last half
    second.
    """

    def __init__(self, folder: Path, version: str) -> None:
        self.folder = folder
        self.version = version
        self._rows: queue.SimpleQueue[tuple[str, float, int, Any, Any]] = queue.SimpleQueue()
        self._waiting: list[str] = []
        self._lost = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
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
            self._try_flush()
        self._try_flush()

    def _try_flush(self) -> None:
        try:
            self.flush()
        except Exception:
            _logger.exception("inference log: rows wait")

    def flush(self) -> None:
        """Write what was taken; what the disk does not take waits for the next time."""
        while not self._rows.empty():
            self._waiting.extend(self._logged(*self._rows.get()))
        lines = list(self._waiting)
        if self._lost:
            lines.append(_line({"lost": self._lost, "time": time.time(), "version": self.version}))
        if not lines:
            return
        hour = time.strftime("%Y%m%dT%H", time.gmtime())
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _append(self.folder / f"{hour}-{os.getpid()}.jsonl", "".join(lines).encode())
        except OSError as error:
            self._lost += max(0, len(self._waiting) - _MOST_WAITING)
            self._waiting = self._waiting[-_MOST_WAITING:]
            _logger.warning(
                "inference log: %s; %d rows wait, %d are lost", error, len(self._waiting), self._lost
            )
            return
        self._waiting, self._lost = [], 0

    def _logged(self, request_id: str, at: float, status: int, data: Any, predictions: Any) -> list[str]:
        try:
            return self._lines(request_id, at, status, data, predictions)
        except Exception as error:  # noqa: BLE001 - any object of a model or client may fail in any way
            self._lost += len(data) if isinstance(data, Sized) and not isinstance(data, Mapping) else 1
            why = f"{type(error).__name__}: {error}"
            _logger.warning("inference log: request %s cannot be logged: %s", request_id, why)
            return []

    def _lines(self, request_id: str, at: float, status: int, data: Any, predictions: Any) -> list[str]:
        inputs = input_rows(data)
        outputs = output_rows(predictions, len(inputs))
        if outputs is None:
            _logger.warning("inference log: the answer to %s has not one prediction a row", request_id)
            outputs = [None] * len(inputs)
        return [
            _line(
                {
                    "request_id": f"{request_id}/{index}" if index else request_id,
                    "time": at,
                    "version": self.version,
                    "status": status,
                    "inputs": row,
                    "prediction": output,
                }
            )
            for index, (row, output) in enumerate(zip(inputs, outputs, strict=True))
        ]


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, allow_nan=False) + "\n"


def _append(path: Path, data: bytes) -> None:
    """Append all of it, or nothing: a line that was cut would make the file unreadable.

    :raises OSError: the disk is full, the folder is gone.
    """
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        start, left = os.fstat(file).st_size, memoryview(data)
        try:
            while left:
                left = left[os.write(file, left) :]
        except OSError:
            os.ftruncate(file, start)
            raise
    finally:
        os.close(file)
