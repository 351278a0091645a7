"""What HAProxy counts: requests, errors, weight and status per server."""

from __future__ import annotations

import csv
from dataclasses import dataclass

from airflow_mlops.core.record import Record

ANSWERS = ("hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other")
OUT_OF_TRAFFIC = ("MAINT", "DRAIN")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStat(Record):
    """One server line of ``show stat``.

    :param requests: requests that were sent, or should have been sent, to the server.
    :param errors: 5xx answers, failed connections, broken responses, and requests that had to be sent
        to another server because this one did not accept a connection.
    :param weight: share it takes now relative to the others; 0 when drained or in maintenance.
    """

    server: str
    requests: int
    errors: int
    weight: int
    current: int


def parse_stats(text: str, backend: str) -> dict[str, ServerStat]:
    """Return the servers of one backend from the CSV that ``show stat`` prints."""
    rows = csv.DictReader(text.lstrip("# ").strip().splitlines())
    return {
        row["svname"]: _server(row)
        for row in rows
        if row["pxname"] == backend and row["svname"] not in ("BACKEND", "FRONTEND")
    }


def _server(row: dict[str, str]) -> ServerStat:
    lost = _sum(row, ("econ", "eresp", "wredis"))
    drained = row["status"].startswith(OUT_OF_TRAFFIC)
    return ServerStat(
        server=row["svname"],
        requests=_sum(row, ANSWERS) + lost,
        errors=_sum(row, ("hrsp_5xx",)) + lost,
        weight=0 if drained else int(row["weight"] or 0),
        current=int(row["scur"] or 0),
    )


def _sum(row: dict[str, str], names: tuple[str, ...]) -> int:
    return sum(int(row.get(name) or 0) for name in names)
