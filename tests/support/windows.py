"""Windows on disk for tests, and what must hold of whatever was measured of them."""

from __future__ import annotations

import io
import json
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.memory import MemoryFileSystem

from airflow_mlops.backends.profiling.files.arrow import profile_window
from airflow_mlops.backends.profiling.files.dataset import describe_window
from airflow_mlops.core.data.profile.profile import Profile

ROWS = 5000
TABLE = pa.table(
    {"x": list(range(ROWS)), "y": [i / 7 for i in range(ROWS)], "c": ["a", "b", None, "dd"] * (ROWS // 4)}
)


def parquet(table=TABLE, **options):
    """Return a table as the bytes of a parquet file."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def lay(folder, files):
    """Write files, bytes or tables by name, and return the folder as a URI."""
    for name, content in files.items():
        data = parquet(content) if isinstance(content, pa.Table) else content
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return str(folder)


def measure(uri, partitions=()):
    """Profile a window and check what holds of every profile."""
    window = describe_window(uri, partitions)
    profile = profile_window(window)
    assert profile.rows == window.rows
    require_sound(profile)
    return profile


def require_sound(profile):
    """Every row is counted once in every column, and the profile survives JSON."""
    for column in profile.columns:
        assert column.present + column.nulls == profile.rows, column
    assert Profile.from_json(json.loads(json.dumps(profile.to_json(), allow_nan=False))) == profile


class CountedFile(io.BytesIO):
    """An open file that adds up the bytes read of it."""

    def __init__(self, data, path, reads):
        super().__init__(data)
        self.path, self.reads = path, reads

    def counted(self, data):
        self.reads[self.path] += len(data)
        return data

    def read(self, size=-1):
        return self.counted(super().read(size))

    def read1(self, size=-1):
        return self.counted(super().read1(size))

    def readinto(self, buffer):
        found = super().readinto(buffer)
        self.reads[self.path] += found
        return found


def count_reads(monkeypatch):
    """Return a counter of the bytes that are read of files in memory from now on, by path."""
    reads, opened = Counter(), MemoryFileSystem._open

    def open_counted(self, path, mode="rb", **options):
        if mode != "rb":
            return opened(self, path, mode, **options)
        return CountedFile(self.cat_file(path), path, reads)

    monkeypatch.setattr(MemoryFileSystem, "_open", open_counted)
    return reads
