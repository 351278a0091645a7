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
    from collections.abc import Sequence

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
    return Contents(files=len(files), size=storage.size(files), marker=_has_marker(storage, files))


def _has_marker(storage: Storage, files: Sequence[str]) -> bool:
    """Say whether each of the partition's directories holds the marker; one of files only has none."""
    inside = (PurePosixPath(file).relative_to(storage.path).parts for file in files)
    folders = {parts[0] for parts in inside if len(parts) > 1}
    return bool(folders) and all(storage.files.exists(f"{storage.path}/{f}/{_MARKER}") for f in folders)
