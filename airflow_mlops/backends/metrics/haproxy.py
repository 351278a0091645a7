"""HAProxy's statistics and log: requests, errors, weight and status per server, latency per answer."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from datetime import datetime

from airflow_mlops.core.errors import ServiceUnavailableError
from airflow_mlops.core.record import Record

_ANSWER_COLUMNS = ("hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other")
_OUT_OF_TRAFFIC = ("MAINT", "DRAIN")
_LOG_LINE = re.compile(r"<\d+>(\S+) (\S+) (\d+) (\d+) (\d+) (\+?)\d+")
"""``log-format "%s %sp %ST %Ta %rc"`` in a ring of format ``timed``; a plus marks a redispatch."""
_GATEWAY_TIMEOUT = 504


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStat(Record):
    """One server line of ``show stat``.

    :param requests: requests assigned to the server.
    :param client_errors: answers 4xx; no part of ``errors``.
    :param current: requests that are being answered.
    :param errors: 5xx answers, failed connections, broken responses, and requests redispatched to another
        server because this one did not accept a connection.
    :param weight: current weight relative to the others; 0 when drained or in maintenance.
    """

    server: str
    requests: int
    errors: int
    weight: int
    current: int
    client_errors: int = 0


@dataclass(frozen=True, slots=True)
class TimedAnswer:
    """One answer with its latency.

    :param at: completion time, epoch seconds.
    :param server: slot and port of the server; the next server in the slot has another port.
    :param milliseconds: from the first byte of the request to the last byte of the answer.
    """

    at: float
    server: tuple[str, int]
    milliseconds: int


def parse_stats(text: str, backend: str) -> dict[str, ServerStat]:
    """Return the servers of one backend from the CSV of ``show stat``.

    :raises ServiceUnavailableError: the CSV is truncated or malformed.
    """
    rows = csv.DictReader(text.lstrip("# ").strip().splitlines())
    try:
        return {
            row["svname"]: _server(row)
            for row in rows
            if row["pxname"] == backend and row["svname"] not in ("BACKEND", "FRONTEND")
        }
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        msg = f"gateway: its statistics cannot be read: {type(error).__name__}: {error}"
        raise ServiceUnavailableError(msg) from error


def parse_answers(text: str) -> list[TimedAnswer]:
    """Return the answers of a log whose latency counts: no errors, and no redispatched requests.

    The latency of a redispatched request includes both servers, and errors are counted as errors. Exception:
    a gateway timeout (504) counts as slow.
    """
    return [
        TimedAnswer(datetime.fromisoformat(at).timestamp(), (slot, int(port)), int(took))
        for at, slot, port, status, took, moved in _LOG_LINE.findall(text)
        if not moved and (int(status) < 500 or int(status) == _GATEWAY_TIMEOUT)
    ]


def _server(row: dict[str, str]) -> ServerStat:
    if None in row.values():
        msg = f"line of {row['svname']!r} is cut off"
        raise ValueError(msg)
    lost = _sum(row, ("econ", "eresp", "wredis"))
    drained = row["status"].startswith(_OUT_OF_TRAFFIC)
    return ServerStat(
        server=row["svname"],
        requests=_sum(row, _ANSWER_COLUMNS) + lost,
        errors=_sum(row, ("hrsp_5xx",)) + lost,
        weight=0 if drained else int(row["weight"] or 0),
        current=int(row["scur"] or 0),
        client_errors=_sum(row, ("hrsp_4xx",)),
    )


def _sum(row: dict[str, str], names: tuple[str, ...]) -> int:
    return sum(int(row[name] or 0) for name in names)
