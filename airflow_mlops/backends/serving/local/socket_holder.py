"""The socket holder: a small process that holds a gateway's listening socket while gateways come and go.

While no gateway accepts, connections wait in the kernel's backlog instead of being refused. Whoever connects
to the holder's Unix socket (its door) is given the listening socket.

The same file is the holder's program, run by its path and isolated (``python -I -S``), where neither this
package nor any other can be imported: at its top it imports from the standard library only.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_START_SECONDS = 10.0
_ANSWER_SECONDS = 2.0
_PRIVATE = 0o177


class HeldListener:
    """The listening socket of one endpoint; the caller holds the endpoint's lock.

    :param folder: the endpoint's; identifies its socket holder on the command line.
    :param door: Unix socket at which the holder hands out the listening socket.
    """

    def __init__(self, folder: Path, door: Path) -> None:
        self.folder = folder
        self.door = door
        self._marker = f"keeper-of={folder}"  # unchanged: holders started by an older release are found by it

    def take(self, port: int) -> socket.socket:
        """Return the socket that is held; without one bind the port, and start a holder for it.

        :param port: of 127.0.0.1; 0 is the one that is held, or any free one.
        :raises InvalidConfigError: another program listens there.
        """
        from airflow_mlops.backends.serving.local import process

        held = self._ask()
        if held is not None and port in (0, held.getsockname()[1]):
            return held
        if held is not None:
            held.close()
        self.stop()
        fresh = process.listener(port)
        try:
            fresh.listen(process.BACKLOG)
            # Connections that linger after the socket's processes were killed must not block the port.
            fresh.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._hold(fresh)
        except BaseException:
            fresh.close()
            raise
        return fresh

    def stop(self) -> None:
        """End the holder; the port is free once its gateway has ended too."""
        from airflow_mlops.backends.serving.local import process

        for found in process.find_by_argument(self._marker):
            found.stop()

    def _ask(self) -> socket.socket | None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
                caller.settimeout(_ANSWER_SECONDS)
                caller.connect(str(self.door))
                _, descriptors, _, _ = socket.recv_fds(caller, 1, 1, socket.MSG_CMSG_CLOEXEC)
        except OSError:
            return None
        return socket.socket(fileno=descriptors[0]) if descriptors else None

    def _hold(self, listener: socket.socket) -> None:
        """Start a holder of the socket and wait until it hands it out."""
        from airflow_mlops.backends.serving.local import process
        from airflow_mlops.core.errors import ServiceUnavailableError

        log = self.folder / "keeper.log"
        started = process.start(
            [*_PROGRAM, str(listener.fileno()), str(self.door), self._marker],
            log=log,
            folder=self.folder,
            listener=listener,
            marker=self._marker,
        )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and started.is_alive():
            if (given := self._ask()) is not None:
                given.close()
                return
            time.sleep(0.01)
        started.stop()
        msg = f"socket holder of endpoint {self.folder.name!r} did not start: {process.tail(log)}"
        raise ServiceUnavailableError(msg)


_PROGRAM = (sys.executable, "-I", "-S", __file__)


def hold(argv: Sequence[str]) -> None:
    """Hold the socket with file descriptor ``argv[0]`` and give it to callers at the path ``argv[1]``."""
    listener, path = socket.socket(fileno=int(argv[0])), argv[1]
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - pathlib takes longer to import than all the rest
    os.umask(_PRIVATE)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(path)
        door.listen()
        while True:
            caller, _ = door.accept()
            with caller, contextlib.suppress(OSError):  # a caller that died is no reason to stop
                socket.send_fds(caller, [b"1"], [listener.fileno()])


if __name__ == "__main__":
    hold(sys.argv[1:])
