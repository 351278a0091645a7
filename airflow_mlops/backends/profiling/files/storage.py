"""Where data files lie: local paths and object storage through fsspec; lists them, never reads rows."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from operator import itemgetter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import fsspec
import pyarrow.fs as pafs

from airflow_mlops.core.errors import InvalidDataError, MissingDependencyError, NoRowsError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_SCHEMES = ("file", "memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "hdfs", "http", "https")
_FORMATS = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv"}
_PACKED = (".gz", ".bz2", ".xz")
_ICEBERG_METADATA = (".metadata.json", ".metadata.json.gz")
_LONGEST_KEY = 250
"""Characters of a partition key that Airflow stores."""
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

    def inside(self, path: str) -> str:
        """Return a file's path relative to this one, its name if it is this one."""
        return path.removeprefix(self.path).lstrip("/") or PurePosixPath(path).name

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


def format_of(path: str) -> str | None:
    """Return ``parquet`` or ``csv`` by a file's name, in capitals too; ``None`` if it is no data."""
    name = PurePosixPath(path.lower())
    inner = PurePosixPath(name.stem) if name.suffix in _PACKED else name
    found = _FORMATS.get(inner.suffix)
    return None if found == "parquet" and inner is not name else found


def key_of(path: str, *, is_folder: bool) -> str:
    """Return the partition key that a data file's name, or a folder's, stands for.

    The value of a ``name=value`` folder is percent-decoded, as Hive and Spark encode it.
    """
    name = PurePosixPath(path).name
    if is_folder and "=" in name:
        return unquote(name.partition("=")[2])
    if format_of(name) is None:
        return name
    packed = PurePosixPath(name).suffix.lower() in _PACKED
    return PurePosixPath(PurePosixPath(name).stem if packed else name).stem


def children(storage: Storage) -> dict[str, list[str]]:
    """Return the files and folders directly below that are partitions, by key: of one key all of them.

    :raises InvalidDataError: one whose name gives no key; names it.
    """
    if storage.files.isfile(storage.path):
        return {}
    found: dict[str, list[str]] = {}
    for entry in sorted(storage.files.ls(storage.path, detail=True), key=itemgetter("name")):
        path, is_folder = entry["name"].rstrip("/"), entry["type"] == "directory"
        name = PurePosixPath(path).name
        if not (_is_shown_folder(name) if is_folder else format_of(name) and name[0] not in "_."):
            continue
        key = key_of(path, is_folder=is_folder)
        require_key(key, f"{storage.uri}: {'folder' if is_folder else 'file'} {name!r}: ")
        found.setdefault(key, []).append(path)
    return found


def require_key(key: str, where: str = "") -> None:
    """Refuse what is no partition key.

    :param where: begin of the message.
    :raises InvalidDataError: an empty key, a very long one, or one with control characters.
    """
    kinds = {unicodedata.category(character) for character in key}
    if not key or len(key) > _LONGEST_KEY or kinds & {"Cc", "Cs"}:
        msg = f"{where}partition {key!r}: allowed: 1 to {_LONGEST_KEY} characters, no control characters"
        raise InvalidDataError(msg)


def bare_folders(storage: Storage, filled: Collection[str]) -> tuple[str, ...]:
    """Return the folders directly below that hold nothing, or markers only: partitions that did not arrive.

    Where partitions are files, or ``name=value`` folders, other folders lie beside the data.

    :param filled: keys of the partitions with files.
    """
    below = children(storage).items()
    folders = [(key, path) for key, paths in below for path in paths if not format_of(path)]
    known = [PurePosixPath(path).name for key, path in folders if key in filled]
    named = "=" if all("=" in name for name in known) else ""
    open_ = [path for key, path in folders if key not in filled]
    alike = [path for path in open_ if known and named in PurePosixPath(path).name]
    return tuple(path for path in alike if not any(_is_shown(p, path) for p in storage.files.find(path)))


def files_below(storage: Storage, paths: Sequence[str], name: str) -> list[str]:
    """Return the data files among some paths, and below them.

    What starts with ``_`` or ``.`` is not data (half-written, markers), except for folders ``_name=value``.

    :raises InvalidDataError: none there, several formats, or a table within.
    """
    found = [file for path in paths for file in _data_below(storage, path, name)]
    kinds = {format_of(file) for file in found}
    if not found or len(kinds) > 1 or None in kinds:
        suffixes = sorted({PurePosixPath(file).suffix for file in found})
        held = f"mixed {', '.join(suffixes)}" if found else "none"
        msg = f"{name}: data files: {held}; allowed: .parquet, or .csv, .tsv (.gz, .bz2, .xz too), one kind"
        raise (InvalidDataError if found else NoRowsError)(msg)
    return found


def _data_below(storage: Storage, path: str, name: str) -> list[str]:
    if storage.files.isfile(path):
        return [path]
    there = sorted(storage.files.find(path))
    require_no_table_within(there, path, name)
    return [file for file in there if _is_data(file, path)]


def require_no_table_within(files: Sequence[str], root: str, name: str) -> None:
    """Refuse folders that hold a table: its log, not its folder, says which files are its rows.

    :raises InvalidDataError: names the table and its kind.
    """
    for file in files:
        parts = PurePosixPath(file).parts
        kind = next((kind for mark, kind in _TABLE_MARKS.items() if mark in parts), None)
        kind = "an Iceberg table" if _is_iceberg_metadata(parts) else kind
        if kind is not None:
            mark = next(i for i, part in enumerate(parts) if part in (*_TABLE_MARKS, "metadata"))
            table = str(PurePosixPath(*parts[:mark]))
            msg = f"{name}: {table if table != root else 'it'} is {kind}: allowed is its own path, read as a "
            msg += "table, or folders without one"
            raise InvalidDataError(msg)


_TABLE_MARKS = {"_delta_log": "a Delta table", ".hoodie": "a Hudi table"}


def iceberg_metadata(storage: Storage, folder: str) -> list[str]:
    """Return the metadata files of the Iceberg table that a folder is, packed ones too."""
    found = storage.files.glob(f"{folder}/metadata/*.metadata.json*")
    return [path for path in found if path.endswith(_ICEBERG_METADATA)]


def _is_iceberg_metadata(parts: Sequence[str]) -> bool:
    return len(parts) > 1 and parts[-2] == "metadata" and parts[-1].endswith(_ICEBERG_METADATA)


def _is_data(file: str, root: str) -> bool:
    return format_of(file) is not None and _is_shown(file, root)


def _is_shown(file: str, root: str) -> bool:
    *folders, name = PurePosixPath(file).parts[len(PurePosixPath(root).parts) :]
    return name[0] not in "_." and all(map(_is_shown_folder, folders))


def _is_shown_folder(name: str) -> bool:
    """Say whether a folder's files are data: ``name=value`` is the folder of a partition, as in Spark."""
    return name[0] != "." and (name[0] != "_" or "=" in name)
