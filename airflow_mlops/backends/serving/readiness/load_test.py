"""Load test: send one request body repeatedly to a server and time the answers."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx

from airflow_mlops.core.release.readiness import Timing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_mlops.core.release.readiness import LoadPolicy

TIMEOUT_SECONDS = 10.0
_LONGEST_SECONDS = 60.0
"""Time limit of each part; requests answered by then count."""
_WARM_UP = 5
_SENDERS = 32
JSON = {"Content-Type": "application/json"}


class LoadTest:
    """Load test of one server with one request body.

    :param clock: returns seconds; ``sleep`` waits for seconds. Tests replace both.
    """

    def __init__(
        self,
        client: httpx.Client,
        body: bytes,
        *,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.client = client
        self.body = body
        self.clock = clock
        self.sleep = sleep

    def one_by_one(self, requests: int) -> Timing:
        """Send requests sequentially, each after the previous answer (closed loop, one client)."""
        for _ in range(_WARM_UP):
            self._send()
        return self._run(requests, clients=1)

    def at_once(self, requests: int, clients: int) -> Timing:
        """Send requests from several clients, each waiting for its answers (closed loop)."""
        return self._run(requests, clients)

    def load(self, policy: LoadPolicy) -> Timing:
        """Send at a constant rate (open loop); latency counts from the time a request was due."""
        requests, begun = max(1, round(policy.per_second * policy.seconds)), self.clock()

        def due(number: int) -> float | None:
            at = begun + number / policy.per_second
            self.sleep(max(0.0, at - self.clock()))
            is_late = self.clock() - begun > policy.seconds + _LONGEST_SECONDS
            return None if is_late else self._send(since=at)

        with ThreadPoolExecutor(_SENDERS) as pool:
            seconds = list(pool.map(due, range(requests)))
        took = max(self.clock() - begun, policy.seconds)
        return timing(seconds, took)

    def _run(self, requests: int, clients: int) -> Timing:
        begun = self.clock()

        def one(_: int) -> float | None:
            return self._send() if self.clock() - begun < _LONGEST_SECONDS else math.nan

        with ThreadPoolExecutor(clients) as pool:
            seconds = [s for s in pool.map(one, range(requests)) if s is None or not math.isnan(s)]
        return timing(seconds, self.clock() - begun)

    def _send(self, since: float | None = None) -> float | None:
        begun = self.clock() if since is None else since
        try:
            answer = self.client.post("/invocations", content=self.body, headers=JSON)
        except httpx.HTTPError:
            return None
        return self.clock() - begun if answer.status_code == httpx.codes.OK else None


def timing(seconds: Sequence[float | None], took: float) -> Timing:
    """Summarise latencies; ``None`` is a failed request. Quantiles are the next larger observed latency."""
    answered = sorted(1000 * one for one in seconds if one is not None)
    if not answered:
        return Timing(requests=len(seconds), failed=len(seconds))
    return Timing(
        requests=len(seconds),
        failed=len(seconds) - len(answered),
        p50_ms=answered[math.ceil(0.5 * len(answered)) - 1],
        p99_ms=answered[math.ceil(0.99 * len(answered)) - 1],
        per_second=len(answered) / took if took > 0 else None,
    )
