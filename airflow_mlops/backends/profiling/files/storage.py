"""Where data files lie: local paths and object storage through fsspec; lists them, never reads rows."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import fsspec
import pyarrow.fs as pafs

from airflow_mlops.core.errors import InvalidDataError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Sequence

_SCHEMES = ("file", "memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "hdfs", "http", "https")
FORMATS = {".parquet": "parquet", ".csv": "csv"}
KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]*")
_CONTENT_TAGS = ("ETag", "etag", "md5Hash", "content_md5", "crc32c")
_HASHED_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Storage:
    """A file system and a path on it; ``uri`` as the user wrote it, for messages."""

    files: fsspec.AbstractFileSystem
    path: str
    uri: str

    @property
    def is_local(self) -> bool:
        """Whether files are opened by path."""
        return "file" in _protocols(self.files)

    @property
    def arrow(self) -> pafs.FileSystem:
        """The same file system as Arrow opens it."""
        return pafs.LocalFileSystem() if self.is_local else pafs.PyFileSystem(pafs.FSSpecHandler(self.files))

    def open(self, path: str) -> Any:
        """Return what Arrow reads a file from."""
        return path if self.is_local else self.files.open(path, "rb")

    def size(self, paths: Sequence[str]) -> int:
        """Return how many bytes some files have; 0 for those whose size the store does not tell."""
        return sum(int(self.files.size(path) or 0) for path in paths)

    def tag(self, path: str) -> bytes | None:
        """Return the store's own tag of a file's content, ``None`` if it keeps none."""
        info = self.files.info(path)
        tag = next((str(info[name]) for name in _CONTENT_TAGS if info.get(name)), None)
        return f"{tag}:{info['size']}".encode() if tag else None

    def digest(self, path: str) -> bytes:
        """Return what identifies a file's content: the store's own tag of it, else a hash of its bytes."""
        tag = self.tag(path)
        if tag is not None:
            return tag
        digest = hashlib.sha256()
        with self.files.open(path, "rb") as file:
            while chunk := file.read(_HASHED_BYTES):
                digest.update(chunk)
        return digest.digest()


def locate(uri: str, filesystem: fsspec.AbstractFileSystem | None = None) -> Storage:
    """Return where a URI points to.

    :param uri: a path, ``file://``, or ``scheme://[connection@]bucket/path``.
    :param filesystem: opened with the connection's credentials; with the surroundings' own if ``None``.
    :raises InvalidDataError: an unknown scheme, or nothing there.
    """
    if not uri.strip():
        msg = "dataset '': an empty path, allowed: a path or a URI"
        raise InvalidDataError(msg)
    scheme, separator, rest = uri.partition("://")
    scheme = scheme if separator else "file"
    if scheme not in _SCHEMES:
        msg = f"{uri}: scheme {scheme!r} is not supported, allowed: a path or {', '.join(_SCHEMES)}"
        raise InvalidDataError(msg)
    files = filesystem or _filesystem(scheme, uri)
    path = _local_path(rest, uri) if "file" in _protocols(files) else _remote_path(files, scheme, rest)
    if not files.exists(path):
        msg = f"{uri}: no such file or directory"
        raise InvalidDataError(msg)
    return Storage(files=files, path=path, uri=uri)


def _protocols(files: fsspec.AbstractFileSystem) -> tuple[str, ...]:
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)


def _filesystem(scheme: str, uri: str) -> fsspec.AbstractFileSystem:
    try:
        return fsspec.filesystem(scheme)
    except ImportError as error:
        msg = f"{uri}: {error}; or give the file system of an Airflow connection"
        raise MissingDependencyError(msg) from error


def _local_path(rest: str, uri: str) -> str:
    path = unquote(rest) if uri.startswith("file://") else uri
    return str(fsspec.filesystem("file")._strip_protocol(path))


def _remote_path(files: fsspec.AbstractFileSystem, scheme: str, rest: str) -> str:
    """Return the path without the connection's name, which Airflow writes before the bucket."""
    bucket, slash, path = rest.partition("/")
    address = f"{scheme}://{bucket.rpartition('@')[2]}{slash}{path}"
    return str(files._strip_protocol(address))


def list_partitions(uri: str, filesystem: fsspec.AbstractFileSystem | None = None) -> list[str]:
    """Return the partition keys below ``uri``, ascending.

    A partition is ``<uri>/<key>.parquet``, ``<uri>/<key>/*.parquet`` or ``<uri>/<name>=<key>/*.parquet``
    (or csv).
    """
    return sorted(key for key in _children(locate(uri, filesystem)) if KEY.fullmatch(key))


def data_files(storage: Storage, partitions: Sequence[str]) -> list[str]:
    """Return the paths of the data files of some partitions, of all if none is named.

    :raises InvalidDataError: no such partition, no data files, or files of several formats.
    """
    if not partitions:
        return _below(storage, storage.path, storage.uri)
    children = _children(storage)
    for key in partitions:
        if not KEY.fullmatch(key):
            msg = (
                f"partition {key!r}: letters, digits and '_.:+-' are allowed, starting with a letter or digit"
            )
            raise InvalidDataError(msg)
        if key not in children:
            there = ", ".join(sorted(k for k in children if KEY.fullmatch(k))) or "none"
            msg = f"{storage.uri}: no partition {key!r}; partitions: {there}"
            raise InvalidDataError(msg)
    return [
        path
        for key in partitions
        for path in _below(storage, children[key], f"{storage.uri} partition {key}")
    ]


def _children(storage: Storage) -> dict[str, str]:
    """Return what may be a partition directly below, by key."""
    if storage.files.isfile(storage.path):
        return {}
    found = {}
    for entry in storage.files.ls(storage.path, detail=True):
        path = PurePosixPath(entry["name"])
        if entry["type"] == "directory":
            found[path.name.rpartition("=")[2]] = entry["name"].rstrip("/")
        elif path.suffix in FORMATS:
            found[path.stem] = entry["name"]
    return found


def _below(storage: Storage, path: str, name: str) -> list[str]:
    """Return data files below a path; what starts with ``_`` or ``.`` is not data (half-written, markers)."""
    if storage.files.isfile(path):
        found = [path]
    else:
        found = [file for file in sorted(storage.files.find(path)) if _is_data(file, path)]
    kinds = {PurePosixPath(file).suffix for file in found}
    if not found or len(kinds) > 1 or not kinds <= set(FORMATS):
        there = f"mixed {', '.join(sorted(kinds))}" if found else "none"
        msg = f"{name}: data files: {there}; allowed: {' or '.join(FORMATS)}, one kind"
        raise InvalidDataError(msg)
    return found


def _is_data(file: str, root: str) -> bool:
    parts = PurePosixPath(file).parts[len(PurePosixPath(root).parts) :]
    return PurePosixPath(file).suffix in FORMATS and not any(part[0] in "_." for part in parts)
