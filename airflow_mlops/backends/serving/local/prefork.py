"""Worker processes of one model server that share its port: one that dies is replaced at once."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import signal
import time
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

BACKLOG = 2048
SHORT_LIFE_SECONDS = 1.0


def serve_siblings(serve: Callable[[socket.socket], None], listening: socket.socket, count: int) -> NoReturn:
    """Run ``serve`` in ``count`` processes on one listening socket, for ever.

    Connections that nobody has accepted yet stay with the socket, so the death of a worker fails only the
    requests in its hands. Workers are forked: what was loaded before is shared and a new one is up at once.

    :param serve: answers requests on a socket until told to stop; runs in the main thread of a worker.
    """
    listening.listen(BACKLOG)
    signal.signal(signal.SIGTERM, _stop)
    workers = [_fork(serve, listening) for _ in range(count)]
    try:
        while True:
            begun = time.monotonic()
            dead = multiprocessing.connection.wait([worker.sentinel for worker in workers])
            if time.monotonic() - begun < SHORT_LIFE_SECONDS:
                time.sleep(SHORT_LIFE_SECONDS)
            workers = [_fork(serve, listening) if w.sentinel in dead else w for w in workers]
    finally:
        for worker in workers:
            worker.terminate()


def _fork(serve: Callable[[socket.socket], None], listening: socket.socket) -> Any:
    worker = multiprocessing.get_context("fork").Process(target=_work, args=(serve, listening))
    worker.start()
    return worker


def _work(serve: Callable[[socket.socket], None], listening: socket.socket) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    serve(listening)


def _stop(*_: object) -> NoReturn:
    raise SystemExit(0)
