"""Contents of new partitions of a dataset: listed, never read."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from airflow_mlops.backends.profiling.files.layout import find_files, list_partitions
from airflow_mlops.backends.profiling.files.storage import Storage, locate
from airflow_mlops.core.data.dataset_uri import DatasetUri
from airflow_mlops.core.data.partitions import Contents
from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    import fsspec

    from airflow_mlops.core.data.partitions import PartitionWait

_MARKER = "_SUCCESS"


def list_contents(
    uri: str, arrival: PartitionWait, filesystem: fsspec.AbstractFileSystem | None = None
) -> dict[str, Contents]:
    """Return the contents of the partitions that are waited for; of none while the dataset is not there."""
    try:
        storage = locate(DatasetUri.parse(uri).location, filesystem)
    except InvalidDataError:
        return {}
    storage.files.invalidate_cache()
    keys = filter(arrival.wants, list_partitions(uri, filesystem))
    return {key: _contents(storage, key) for key in keys}


def _contents(storage: Storage, key: str) -> Contents:
    try:
        files = find_files(storage, [key]).paths
    except (InvalidDataError, FileNotFoundError):
        return Contents()
    return Contents(files=len(files), size=storage.size(files), marker=_has_marker(storage, files[0]))


def _has_marker(storage: Storage, file: str) -> bool:
    """Say whether the partition's directory holds the marker; a partition of one file has no directory."""
    inside = PurePosixPath(file).relative_to(storage.path).parts
    return len(inside) > 1 and storage.files.exists(f"{storage.path}/{inside[0]}/{_MARKER}")
