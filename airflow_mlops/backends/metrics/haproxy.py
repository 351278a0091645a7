"""What HAProxy says: requests, errors, weight and status per server, and how long each answer took."""

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
"""``log-format "%s %sp %ST %Ta %rc"`` in a ring of format ``timed``; the plus: given to another server."""
_GATEWAY_TIMEOUT = 504


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


@dataclass(frozen=True, slots=True)
class TimedAnswer:
    """One answer to a client.

    :param at: when it was complete, epoch seconds.
    :param server: slot and port of the server: a slot's next tenant has another port.
    :param milliseconds: from the first byte of the request to the last of the answer.
    """

    at: float
    server: tuple[str, int]
    milliseconds: int


def parse_stats(text: str, backend: str) -> dict[str, ServerStat]:
    """Return the servers of one backend from the CSV that ``show stat`` prints.

    :raises ServiceUnavailableError: it is cut off, or no such CSV: nothing was counted.
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
    """Return what can be timed of a log: answers of the server that was asked first, errors left out.

    A request that a second server had to answer measures both. An error is quick or slow for reasons of
    its own and is counted as an error; a server that did not answer in time was slow.
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
    )


def _sum(row: dict[str, str], names: tuple[str, ...]) -> int:
    return sum(int(row[name] or 0) for name in names)
