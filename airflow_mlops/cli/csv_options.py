"""Options of the terminal that say how csv files are read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_mlops.core.data.dataset_uri import CsvOptions, CsvType, DatasetUri, allowed_types
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.errors import InvalidConfigError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_NAMES = ("delimiter", "encoding", "decimal", "thousands", "quote")


def add_csv_options(parser: argparse.ArgumentParser) -> None:
    """Add them; what is not given is found from the file's first rows."""
    group = parser.add_argument_group("csv files", "found from the first rows unless given")
    group.add_argument("--delimiter", metavar="CHARACTER", help="one character, or tab, space")
    group.add_argument("--encoding", metavar="NAME", help="latin-1, cp1252, …; UTF-8 and UTF-16 are found")
    group.add_argument("--decimal", choices=[".", ","], help="decimal point or comma")
    group.add_argument(
        "--thousands", metavar="CHARACTER", help="mark between thousands: , . ' space; none unless given"
    )
    group.add_argument("--quote", metavar="CHARACTER", help="one character, '' if values are not quoted")
    group.add_argument(
        "--na-value",
        metavar="WORD",
        action="append",
        help="read as missing in all columns, as blank always is",
    )
    group.add_argument(
        "--dtype",
        metavar="COLUMN=TYPE",
        action="append",
        default=[],
        help="text, integer, number, boolean, date, datetime; of columns of folders too; may be repeated",
    )
    group.add_argument(
        "--no-final-newline", action="store_true", help="the last line may lack its line break"
    )


def window_of(options: argparse.Namespace, uri: str, partitions: Sequence[str]) -> Window:
    """Return the window of a dataset, to be read as the options say; they precede what the URI says.

    :raises InvalidConfigError: names the option, its value and what is allowed.
    """
    parsed = DatasetUri.parse(uri)
    said = {name: getattr(options, name) for name in _NAMES if getattr(options, name) is not None}
    types = dict(map(_column_type, options.dtype))
    if options.na_value is not None:
        said["na_values"] = tuple(options.na_value)
    if options.no_final_newline:
        said["final_newline"] = False
    csv: CsvOptions = replace(parsed.csv, **said, dtypes=parsed.csv.dtypes | types)
    return Window(uri=str(replace(parsed, csv=csv)), partitions=tuple(partitions))


def _column_type(text: str) -> tuple[str, CsvType]:
    """Read ``zip=text`` as the column's name and its type.

    :raises InvalidConfigError: says what is allowed.
    """
    column, _, kind = text.rpartition("=")
    if not column or kind not in {*CsvType}:
        msg = f"--dtype {text!r}: allowed: COLUMN=TYPE; {allowed_types(kind)}"
        raise InvalidConfigError(msg)
    return column, CsvType(kind)
