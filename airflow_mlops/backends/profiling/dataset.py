"""Windows of parquet and csv datasets: found, fingerprinted and opened, with errors that name the file."""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from airflow_mlops.core.data.window import Window
from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMATS = {".parquet": "parquet", ".csv": "csv"}
KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]*")
CHUNK = 1 << 20


def list_partitions(uri: str) -> list[str]:
    """Return the partition keys below ``uri``, ascending.

    A partition is ``<uri>/<key>.parquet``, ``<uri>/<key>/*.parquet`` or ``<uri>/<name>=<key>/*.parquet``
    (or csv).
    """
    root = _root(uri)
    if root.is_file():
        return []
    found = {path.stem if path.is_file() else path.name.rpartition("=")[2] for path in _children(root)}
    return sorted(key for key in found if KEY.fullmatch(key))


def describe_window(uri: str, partitions: Sequence[str] = ()) -> Window:
    """Find the window's files, count its rows and take its digest (names and contents).

    :raises InvalidDataError: nothing there, an empty partition, an unreadable file.
    """
    files = _files(uri, partitions)
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode())
        _add_content(digest, path)
    rows = _dataset(files).count_rows()
    window = Window(uri=uri, partitions=tuple(partitions), digest=f"sha256:{digest.hexdigest()}", rows=rows)
    if rows == 0:
        msg = f"{uri}: window {window.label} has 0 rows, allowed: 1 or more"
        raise InvalidDataError(msg)
    return window


def open_window(window: Window) -> pads.Dataset:
    """Open the window's files as one Arrow dataset.

    :raises InvalidDataError: nothing there, an unreadable file, files that do not fit together.
    """
    return _dataset(_files(window.uri, window.partitions))


def read_window(window: Window, columns: Sequence[str] | None = None) -> pa.Table:
    """Read the window's rows.

    :raises InvalidDataError: a column is missing; names it and what is there.
    """
    dataset = open_window(window)
    missing = [name for name in columns or () if name not in dataset.schema.names]
    if missing:
        there = ", ".join(dataset.schema.names)
        msg = f"{window.uri}: window {window.label} lacks column {', '.join(missing)}; columns: {there}"
        raise InvalidDataError(msg)
    try:
        return dataset.to_table(columns=list(columns) if columns else None)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        msg = f"{window.uri}: window {window.label} cannot be read: {error}"
        raise InvalidDataError(msg) from error


def _root(uri: str) -> Path:
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file"):
        msg = f"{uri}: scheme {parts.scheme!r} is not supported, allowed: a path or file://"
        raise InvalidDataError(msg)
    root = Path(unquote(parts.path) if parts.scheme else uri)
    if not root.exists():
        msg = f"{uri}: no such file or directory"
        raise InvalidDataError(msg)
    return root


def _children(root: Path) -> list[Path]:
    return [path for path in root.iterdir() if path.suffix in FORMATS or path.is_dir()]


def _files(uri: str, partitions: Sequence[str]) -> list[Path]:
    root = _root(uri)
    if not partitions:
        return _data_files(root, uri)
    return [path for key in partitions for path in _partition_files(root, uri, key)]


def _partition_files(root: Path, uri: str, key: str) -> list[Path]:
    if not KEY.fullmatch(key):
        msg = f"partition {key!r}: letters, digits and '_.:+-' are allowed, starting with a letter or digit"
        raise InvalidDataError(msg)
    for path in _children(root):
        if (path.stem if path.is_file() else path.name.rpartition("=")[2]) == key:
            return _data_files(path, f"{uri} partition {key}")
    there = ", ".join(list_partitions(uri)) or "none"
    msg = f"{uri}: no partition {key!r}; partitions: {there}"
    raise InvalidDataError(msg)


def _data_files(path: Path, name: str) -> list[Path]:
    found = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix in FORMATS)
    kinds = {p.suffix for p in found}
    if not found or len(kinds) > 1 or not kinds <= set(FORMATS):
        there = f"mixed {', '.join(sorted(kinds))}" if found else "none"
        msg = f"{name}: data files: {there}; allowed: {' or '.join(FORMATS)}, one kind"
        raise InvalidDataError(msg)
    return found


def _dataset(files: list[Path]) -> pads.Dataset:
    try:
        for path in files:
            _require_unique(path)
        parts = [pads.dataset(path, format=FORMATS[path.suffix]) for path in files]
        schema = pa.unify_schemas([part.schema for part in parts], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OSError) as error:
        names = ", ".join(path.name for path in files[:3])
        msg = f"{names}: cannot be read together: {error}"
        raise InvalidDataError(msg) from error
    return pads.dataset([part.replace_schema(schema) for part in parts])


def _require_unique(path: Path) -> None:
    """Refuse a file with a column twice, before Arrow does so without a name."""
    names = pq.read_schema(path).names if path.suffix == ".parquet" else _csv_header(path)
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        msg = f"{path.name}: column {twice[0]!r} stands there more than once"
        raise InvalidDataError(msg)


def _csv_header(path: Path) -> list[str]:
    with path.open(newline="") as file:
        return next(csv.reader(file), [])


def _add_content(digest: hashlib._Hash, path: Path) -> None:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
