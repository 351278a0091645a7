"""Random tables and damaged files: profiles that are right, or a named error; nothing else."""

from __future__ import annotations

import contextlib
import io
import itertools
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import LEAVES, SMALL, TEXTS, WHOLE, damage, fuzz, tables
from windows import lay, measure, parquet, require_sound

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.backends.profiling.files.dataset import describe_window, read_window
from airflow_mlops.core.data.profile.profile import merge
from airflow_mlops.core.data.skew.bins import counts_between
from airflow_mlops.core.errors import MlopsError

pytestmark = pytest.mark.slow
FILES = [
    parquet(SMALL),
    parquet(SMALL, compression="none", use_dictionary=False),
    parquet(SMALL, row_group_size=8, write_page_checksum=True, data_page_version="2.0"),
]
_OVERFLOWS = 1e150
TEXT = b'x,c,d\n1,a,2020-01-01\n2,"b, ""q""\nnext",2020-01-02\n,cc,\n4,\xc3\xa9,2020-01-04\n'


@fuzz(3500)
@given(tables(), st.lists(st.integers(0, 12), max_size=3))
def test_profile_of_parts_adds_up_to_that_of_the_whole_when_data_is_anything(table, cuts):
    whole = profile_table(table)
    require_sound(whole)
    borders = [0, *sorted(min(cut, table.num_rows) for cut in cuts), table.num_rows]
    slices = [table.slice(low, high - low) for low, high in itertools.pairwise(borders)]
    together = merge(*(profile_table(part, bins_from=whole) for part in slices))
    for column in together.columns:
        total = whole.column(column.name)
        exact = ("kind", "nulls", "nans", "infinite", "minimum", "maximum", "present", "categories", "other")
        assert [getattr(column, f) for f in exact] == [getattr(total, f) for f in exact]
        assert (column.named, column.distinct) == (total.named, total.distinct)
        edges = np.asarray(total.edges)
        if total.kind.is_numeric and total.single_values is not None:  # bins of parts are their own
            assert counts_between(column, edges).tolist() == counts_between(total, edges).tolist()
        if total.mean is not None and max(abs(total.minimum or 0), abs(total.maximum or 0)) < _OVERFLOWS:
            room = 1e-6 * (total.deviation or 0) + 1e-9
            assert column.mean == pytest.approx(total.mean, rel=1e-6, abs=room)


@fuzz(2000)
@given(tables())
def test_nulls_extremes_and_names_are_those_of_the_rows(table):
    for column, values in zip(profile_table(table).columns, table.columns, strict=True):
        plain = values.combine_chunks()
        plain = plain.dictionary_decode() if pa.types.is_dictionary(plain.type) else plain
        plain = plain.cast(pa.string()) if pa.types.is_string_view(plain.type) else plain
        there = pc.drop_null(plain)
        if pa.types.is_floating(plain.type):
            there = there.filter(pc.invert(pc.is_nan(there)))
        assert column.nulls == len(plain) - len(there)
        if column.categories is not None and column.kind == "string":
            rows = there.to_pylist()
            assert column.named == {name: rows.count(name) for name in column.named}
            assert sum(column.named.values()) == len(rows)
        if pa.types.is_integer(plain.type) and len(there):
            low, high = pc.min_max(there).as_py().values()
            assert (column.minimum, column.maximum) == (float(low), float(high))


@fuzz(600)
@given(tables(LEAVES))
def test_table_on_disk_is_profiled_as_in_memory(table):
    table = table.cast(pa.schema([(f.name, ON_DISK.get(f.type, f.type)) for f in table.schema]))
    with tempfile.TemporaryDirectory() as folder:
        uri = lay(Path(folder), {"rows.parquet": table})
        assert measure(uri).columns == profile_table(table).columns
        assert read_window(describe_window(uri)).num_rows == table.num_rows


ON_DISK = {pa.date64(): pa.date32()} | {
    pa.timestamp("s", zone): pa.timestamp("ms", zone) for zone in (None, "UTC", "Europe/Berlin")
}


LOOK_AT_FOOTERS = """
import contextlib, sys, pyarrow.parquet as pq
for path in sys.stdin:
    with contextlib.suppress(Exception):
        footer = pq.ParquetFile(path.strip()).metadata
        for group in map(footer.row_group, range(footer.num_row_groups)):
            for i in range(group.num_columns):
                group.column(i)
    print("alive", flush=True)
"""


@pytest.fixture(scope="module")
def survives():
    """Whether Arrow survives a footer: damaged size statistics end the process that looks at a column's.

    `RowGroupMetaData.column` of Arrow 25 does not catch the parser's exception.
    """
    running = []

    def look(path):
        if not running or running[-1].poll() is not None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            running.append(subprocess.Popen([sys.executable, "-c", LOOK_AT_FOOTERS], text=True, **pipes))
        running[-1].stdin.write(f"{path}\n")
        running[-1].stdin.flush()
        return running[-1].stdout.readline() == "alive\n" or running[-1].wait() == 0

    yield look
    for process in running:
        process.communicate()


@fuzz(2500)
@given(data=st.sampled_from(FILES).flatmap(damage))
def test_damaged_parquet_is_a_named_error_or_a_sound_profile(survives, data):
    with tempfile.TemporaryDirectory() as folder:
        uri = lay(Path(folder), {"rows.parquet": data})
        assume(survives(f"{uri}/rows.parquet"))
        measured_or_named(uri)


@fuzz(1500)
@given(damage(TEXT) | st.binary(max_size=80))
def test_damaged_csv_is_a_named_error_or_a_sound_profile(data):
    with tempfile.TemporaryDirectory() as folder:
        measured_or_named(lay(Path(folder), {"rows.csv": data}))


@fuzz(500)
@given(tables([*TEXTS[:1], *WHOLE[6:7]]), st.data())
def test_csv_that_is_cut_within_a_line_is_never_read(table, drawn):
    buffer = io.BytesIO()
    csv.write_csv(table, buffer)
    text = buffer.getvalue()
    end = drawn.draw(st.integers(1, len(text) - 1).filter(lambda e: text[e - 1 : e] not in (b"\n", b"\r")))
    with tempfile.TemporaryDirectory() as folder, pytest.raises(MlopsError):
        measure(lay(Path(folder), {"rows.csv": text[:end]}))


def measured_or_named(uri):
    with contextlib.suppress(MlopsError):
        measure(uri)
        read_window(describe_window(uri))
