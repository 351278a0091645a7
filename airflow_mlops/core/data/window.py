"""Window: the slice of data that a run works on."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_mlops.core.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Window(Record):
    """One or more partitions of one dataset.

    :param uri: root of the dataset: a directory or file URI, parquet or csv.
    :param partitions: partition keys in ascending order; empty means the whole dataset.
    :param digest: digest of the files read (names, sizes, checksums), ``""`` until read.
    :param rows: number of rows, ``None`` until read.
    """

    uri: str
    partitions: tuple[str, ...] = ()
    digest: str = ""
    rows: int | None = None

    @property
    def label(self) -> str:
        """Short display name: ``2013-01..2013-03``, one key, or ``all``."""
        if not self.partitions:
            return "all"
        first, last = self.partitions[0], self.partitions[-1]
        return first if first == last else f"{first}..{last}"
