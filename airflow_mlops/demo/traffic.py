"""Replays a month's flights as live HTTP requests; counts what clients saw, per version."""

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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Sequence

UNKNOWN = "unknown"


class Traffic:
    """A replay in a process of its own.

    :param url: the gateway.
    :param month: whose flights are asked about, ``2013-02``.
    :param rate: requests per second, open loop.
    :param counts: JSON file the counts are written to.
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


async def replay(url: str, month: str, rate: float, counts: Path) -> None:
    """Send requests at an even pace until told to stop; a late answer never delays the next request."""
    from airflow_mlops.demo.flights import requests

    stop, seen, pending = asyncio.Event(), Counter[tuple[str, str]](), set[asyncio.Task[None]]()
    for ending in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(ending, stop.set)
    flights = requests(month, 20_000)
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=16)
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=limits) as client:
        begin = time.monotonic()
        for number, flight in enumerate(flights.to_dict("records")):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(0.0, begin + number / rate - time.monotonic()))
            if stop.is_set():
                break
            task = asyncio.create_task(_ask(client, flight, seen))
            pending.add(task)
            task.add_done_callback(pending.discard)
            if number % max(1, int(rate)) == 0:
                _write(counts, seen)
        await asyncio.gather(*pending)
    _write(counts, seen)


async def _ask(client: httpx.AsyncClient, flight: dict[Any, Any], seen: Counter[tuple[str, str]]) -> None:
    values = {name: _plain(value) for name, value in flight.items()}
    request_id = values.pop("flight_id")
    body = {"dataframe_split": {"columns": list(values), "data": [list(values.values())]}}
    try:
        answer = await client.post("/invocations", json=body, headers={"X-Request-Id": request_id})
        version, failed = answer.headers.get("X-Model-Version", UNKNOWN), not answer.is_success
    except httpx.HTTPError:
        version, failed = UNKNOWN, True
    seen[version, "sent"] += 1
    seen[version, "failed"] += failed


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write(path: Path, seen: Counter[tuple[str, str]]) -> None:
    versions = sorted({version for version, _ in seen})
    counts = {v: {what: seen[v, what] for what in ("sent", "failed")} for v in versions}
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps(counts))
    fresh.replace(path)


def main(argv: Sequence[str] | None = None) -> None:
    """Replay from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--month", required=True)
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--counts", type=Path, required=True)
    options = parser.parse_args(argv)
    asyncio.run(replay(options.url, options.month, options.rate, options.counts))


if __name__ == "__main__":
    main()
