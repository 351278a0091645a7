"""Replay a month's flights as live HTTP requests; count answers per version."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_UNKNOWN = "unknown"


class ReplayProcess:
    """A replay in a separate process.

    :param url: the gateway.
    :param month: month of the flights, ``2013-02``.
    :param rate: requests per second, open loop.
    :param counts: JSON file of the counts.
    """

    def __init__(self, url: str, month: str, rate: float, counts: Path) -> None:
        self.counts = counts
        counts.unlink(missing_ok=True)
        options = ["--url", url, "--month", month, "--rate", str(rate), "--counts", str(counts)]
        command = [sys.executable, "-m", "airflow_mlops.demo.traffic", *options]
        self._process = subprocess.Popen(command)  # noqa: S603 - a list, no shell

    def read(self) -> dict[str, dict[str, int]]:
        """Return ``{version: {"sent": n, "failed": n}}`` so far."""
        try:
            return dict(json.loads(self.counts.read_text()))
        except FileNotFoundError:
            return {}

    def stop(self) -> dict[str, dict[str, int]]:
        """End the replay and return the final counts."""
        self._process.terminate()
        self._process.wait(timeout=30)
        return self.read()


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestResult:
    """Result of one request.

    :param version: the model version that answered.
    :param status: HTTP status; 0 without an answer.
    :param error: name of the exception if there was no answer.
    :param server: the gateway's slot that the request was sent to.
    :param began: epoch seconds at which it was sent; ``ended``: at which the answer was complete.
    """

    version: str = _UNKNOWN
    status: int = 0
    error: str = ""
    server: str = ""
    began: float
    ended: float

    @property
    def failed(self) -> bool:
        """Whether the client got no successful answer."""
        return not httpx.codes.is_success(self.status)


async def send_evenly(
    url: str, requests: Iterable[tuple[str, Any]], rate: float, take: Callable[[RequestResult], None]
) -> None:
    """Send requests at a constant rate until SIGTERM or SIGINT; a late answer never delays the next request.

    :param requests: request id and body of each.
    :param rate: requests per second, open loop.
    """
    stop, pending = asyncio.Event(), set[asyncio.Task[None]]()
    for ending in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(ending, stop.set)
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=16)
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=limits) as client:
        begin = time.monotonic()
        for number, (request_id, body) in enumerate(requests):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(0.0, begin + number / rate - time.monotonic()))
            if stop.is_set():
                break
            task = asyncio.create_task(_ask(client, request_id, body, take))
            pending.add(task)
            task.add_done_callback(pending.discard)
        await asyncio.gather(*pending)


async def _ask(
    client: httpx.AsyncClient, request_id: str, body: Any, take: Callable[[RequestResult], None]
) -> None:
    began, headers, status, lost = time.time(), httpx.Headers(), 0, ""
    try:
        answer = await client.post("/invocations", json=body, headers={"X-Request-Id": request_id})
        headers, status = answer.headers, answer.status_code
    except httpx.HTTPError as error:
        lost = type(error).__name__
    version, server = headers.get("X-Model-Version", _UNKNOWN), headers.get("X-Gateway-Server", "")
    seen = {"version": version, "status": status, "error": lost, "server": server}
    take(RequestResult(**seen, began=began, ended=time.time()))


async def replay(url: str, month: str, rate: float, counts: Path) -> None:
    """Send a month's flights until SIGTERM or SIGINT."""
    from airflow_mlops.demo.flights import requests

    seen, often = Counter[tuple[str, str]](), max(1, int(rate))

    def take(answer: RequestResult) -> None:
        seen[answer.version, "sent"] += 1
        seen[answer.version, "failed"] += answer.failed
        if sum(seen[version, what] for version, what in seen if what == "sent") % often == 0:
            _write(counts, seen)

    flights = requests(month, 20_000).to_dict("records")
    await send_evenly(url, map(_request, flights), rate, take)
    _write(counts, seen)


def _request(flight: dict[Any, Any]) -> tuple[str, Any]:
    values = {name: _plain(value) for name, value in flight.items()}
    request_id = str(values.pop("flight_id"))
    return request_id, {"dataframe_split": {"columns": list(values), "data": [list(values.values())]}}


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write(path: Path, seen: Counter[tuple[str, str]]) -> None:
    versions = sorted({version for version, _ in seen})
    counts = {v: {what: seen[v, what] for what in ("sent", "failed")} for v in versions}
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps(counts))
    fresh.replace(path)


def _main(argv: Sequence[str] | None = None) -> None:
    """Replay from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--month", required=True)
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--counts", type=Path, required=True)
    options = parser.parse_args(argv)
    asyncio.run(replay(options.url, options.month, options.rate, options.counts))


if __name__ == "__main__":
    _main()
