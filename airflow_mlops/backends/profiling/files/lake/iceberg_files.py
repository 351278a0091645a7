"""Files of an Iceberg table, for pyiceberg: read through our own file system, wherever the table lies now.

Metadata holds absolute paths of the place where the table was written. They are read relative to the table's
folder, so that a copy is read as the copy it is, and credentials are those of the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.io import FileIO, InputFile, OutputFile
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import StaticTable

from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_mlops.backends.profiling.files.storage import Storage


def load_table(storage: Storage, metadata_path: str) -> tuple[Any, Callable[[str], str]]:
    """Return the table, and a function that maps a path of its metadata to where the file lies now."""
    metadata = FromInputFile.table_metadata(_Input(_as_packed(metadata_path), storage, metadata_path))
    written = metadata.location.rstrip("/")

    def place(path: str) -> str:
        if not path.startswith(f"{written}/"):
            msg = f"{storage.uri}: Iceberg table with files outside of it ({path}), which are not read"
            raise InvalidDataError(msg)
        return f"{storage.path}{path.removeprefix(written)}"

    table = StaticTable(
        identifier=("table",),
        metadata_location=metadata_path,
        metadata=metadata,
        io=_Files(storage, place),
        catalog=NoopCatalog("none"),
    )
    return table, place


def _as_packed(path: str) -> str:
    """Return the path of metadata under the name by which pyiceberg knows that it is packed."""
    packed = ".metadata.json.gz"
    return f"{path.removesuffix(packed)}.gz.metadata.json" if path.endswith(packed) else path


class _Files(FileIO):
    def __init__(self, storage: Storage, place: Callable[[str], str]) -> None:
        super().__init__()
        self.storage, self.place = storage, place

    def new_input(self, location: str) -> InputFile:
        return _Input(location, self.storage, self.place(location))

    def new_output(self, location: str) -> OutputFile:
        raise NotImplementedError(location)  # tables are read only

    def delete(self, location: str | InputFile | OutputFile) -> None:
        raise NotImplementedError(location)


class _Input(InputFile):
    def __init__(self, location: str, storage: Storage, path: str) -> None:
        super().__init__(location)
        self.storage, self.path = storage, path

    def __len__(self) -> int:
        return int(self.storage.files.size(self.path))

    def exists(self) -> bool:
        return bool(self.storage.files.exists(self.path))

    def open(self, seekable: bool = True) -> Any:  # noqa: FBT001, FBT002 - pyiceberg's signature
        return self.storage.files.open(self.path, "rb")
