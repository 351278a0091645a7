"""Windows on disk for tests, and what must hold of whatever was measured of them."""

from __future__ import annotations

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq

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
        (folder / name).parent.mkdir(exist_ok=True)
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
