"""Who gets how many requests, looked up again and again in the background."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from chaos.site import MODEL
from people.site import now_and_then

from airflow_mlops.core.errors import MlopsError

if TYPE_CHECKING:
    from airflow_mlops.backends.serving.local.backend import LocalServing

LOOK_SECONDS = 0.2
_PATIENCE_SECONDS = 10.0


class Weights:
    """Keeps each version's share of requests, as the gateway says, whenever it changes.

    A version that became stable has 100 %; one that is neither stable nor canary has none.
    """

    def __init__(self, serving: LocalServing) -> None:
        self._serving, self._stop = serving, threading.Event()
        self._changes: list[tuple[float, dict[str, int]]] = []
        self._looked = 0.0
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Weights:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def of(self, version: str, *, since: float) -> tuple[tuple[float, int], ...]:
        """Return the changes of a version's share up to now, the first as of ``since`` or before."""
        asked = time.time()
        now_and_then(lambda: self._looked > asked, _PATIENCE_SECONDS)
        found: list[tuple[float, int]] = []
        for at, shares in list(self._changes):
            share = shares.get(version, 0)
            if not found or found[-1][1] != share:
                found.append((at, share))
        before = [each for each in found if each[0] <= since][-1:] or [(since, 0)]
        return (*before, *(each for each in found if each[0] > since))

    def _look(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            began = time.time()
            try:
                seen, now = self._serving.traffic(MODEL), time.time()
            except MlopsError:
                continue
            shares = {str(seen.canary): seen.canary_percent} if seen.canary else {}
            if seen.stable:
                shares[seen.stable] = 100
            if not self._changes or self._changes[-1][1] != shares:
                self._changes.append((now, shares))
            self._looked = began
