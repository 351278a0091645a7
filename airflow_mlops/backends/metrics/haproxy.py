"""HAProxy's statistics and log: requests, errors, weight and status per server, latency per answer."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from datetime import datetime

from airflow_mlops.core.errors import ServiceUnavailableError
from airflow_mlops.core.record import Record

_FINE_COLUMNS = ("hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_other")
"""No 1xx: these announce an answer."""
_OUT_OF_TRAFFIC = ("MAINT", "DRAIN")
_UNKNOWN_TABLE = "Unknown table"
_FAILED_ANSWERS = re.compile(r"\bgpc\d+=(\d+)")
_LOG_LINE = re.compile(r"<\d+>(\S+) (\S+) (\d+) (\d+) (\d+) (\+?)\d+(?: (S?))?")
"""``log-format "%s %sp %ST %Ta %rc %ts"`` in a ring of format ``timed``; a plus marks a redispatch, a capital
S an answer that its server cut off. Gateways of older releases log no ``%ts``."""
_GATEWAY_TIMEOUT = 504


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStat(Record):
    """One server line of ``show stat``.

    :param requests: requests that the server answered, or failed to answer.
    :param client_errors: answers 4xx; no part of ``errors``.
    :param current: requests that are being answered.
    :param errors: 5xx answers, the server's own or the gateway's for want of one; answers that stalled or
        broke off; requests redispatched to another server because this one did not accept a connection.
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
    """Return the servers of one backend from the answer to ``show stat;show table``.

    :raises ServiceUnavailableError: the answer is truncated or malformed.
    """
    try:
        failed = _failed_answers(text, backend)
        rows = csv.DictReader(text.lstrip("# ").partition("\n\n")[0].strip().splitlines())
        return {
            row["svname"]: _server(row, failed)
            for row in rows
            if row["pxname"] == backend and row["svname"] not in ("BACKEND", "FRONTEND")
        }
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        msg = f"gateway: its statistics cannot be read: {type(error).__name__}: {error}"
        raise ServiceUnavailableError(msg) from error


def parse_answers(text: str) -> list[TimedAnswer]:
    """Return the answers of a log whose latency counts: no errors, and no redispatched requests.

    The latency of a redispatched request includes both servers, and errors are counted as errors. Exception:
    what ran into the gateway's time-out, before the answer's head (504) or after it, counts as slow.
    """
    return [
        TimedAnswer(datetime.fromisoformat(at).timestamp(), (slot, int(port)), int(took))
        for at, slot, port, status, took, moved, cut in _LOG_LINE.findall(text)
        if not moved and not cut and (int(status) < 500 or int(status) == _GATEWAY_TIMEOUT)
    ]


def _failed_answers(text: str, backend: str) -> list[int] | None:
    """Return the 5xx answers per server, in the order of their ids; ``None`` if nobody counts them.

    The stick table has a counter per server, and is empty before the first request.
    """
    rows, found, table = text.partition("# table: ")
    if not found and backend in rows and _UNKNOWN_TABLE not in rows:
        msg = "its end is cut off"
        raise ValueError(msg)
    counts = [int(count) for count in _FAILED_ANSWERS.findall(table)]
    return counts if table.startswith(f"{backend},") else None


def _server(row: dict[str, str], failed: list[int] | None) -> ServerStat:
    if None in row.values():
        msg = f"line of {row['svname']!r} is cut off"
        raise ValueError(msg)
    lost, broken = _lost(row, failed)
    drained = row["status"].startswith(_OUT_OF_TRAFFIC)
    return ServerStat(
        server=row["svname"],
        requests=_sum(row, _FINE_COLUMNS) + lost,
        errors=lost + broken,
        weight=0 if drained else int(row["weight"] or 0),
        current=int(row["scur"] or 0),
        client_errors=_sum(row, ("hrsp_4xx",)),
    )


def _lost(row: dict[str, str], failed: list[int] | None) -> tuple[int, int]:
    """Return how many requests were not answered, or by 5xx, and how many answers broke after their head.

    Not ``eresp``: HAProxy raises it once or twice for one server that closes, and again for a broken answer.
    """
    if failed is None:
        return _sum(row, ("hrsp_5xx", "econ", "eresp", "wredis")), 0
    answered = failed[int(row["sid"]) - 1] if failed else 0
    return answered + _sum(row, ("wredis",)), _sum(row, ("srv_abrt",))


def _sum(row: dict[str, str], names: tuple[str, ...]) -> int:
    return sum(int(row[name] or 0) for name in names)
