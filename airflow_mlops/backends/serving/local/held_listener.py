"""The listening socket of a local gateway, which its keeper holds while gateways come and go."""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

from airflow_mlops.backends.serving.local import process
from airflow_mlops.backends.serving.local import socket_holder as keeper
from airflow_mlops.core.errors import ServiceUnavailableError

START_SECONDS = 10.0
ANSWER_SECONDS = 2.0


class KeptListener:
    """The socket of one endpoint; whoever calls holds the endpoint's lock.

    :param folder: the endpoint's; names its keeper on the command line.
    :param door: where the keeper hands the socket out.
    """

    def __init__(self, folder: Path, door: Path) -> None:
        self.folder = folder
        self.door = door
        self._marker = f"keeper-of={folder}"

    def take(self, port: int) -> socket.socket:
        """Return the socket that a keeper holds; without one bind the port, and have it kept from now on.

        :param port: of 127.0.0.1; 0 is the one that is kept, or any free one.
        :raises InvalidConfigError: somebody else listens there.
        """
        kept = self._ask()
        if kept is not None and port in (0, kept.getsockname()[1]):
            return kept
        if kept is not None:
            kept.close()
        self.stop()
        fresh = process.listener(port)
        try:
            fresh.listen(process.BACKLOG)
            # Connections that linger when all who held it were killed must not keep the port from the next.
            fresh.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._keep(fresh)
        except BaseException:
            fresh.close()
            raise
        return fresh

    def stop(self) -> None:
        """End the keeper; the port is free once its gateway has ended too."""
        for found in process.find_by_argument(self._marker):
            found.stop()

    def _ask(self) -> socket.socket | None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
                caller.settimeout(ANSWER_SECONDS)
                caller.connect(str(self.door))
                _, descriptors, _, _ = socket.recv_fds(caller, 1, 1, socket.MSG_CMSG_CLOEXEC)
        except OSError:
            return None
        return socket.socket(fileno=descriptors[0]) if descriptors else None

    def _keep(self, listener: socket.socket) -> None:
        log = self.folder / "keeper.log"
        program = [sys.executable, "-I", "-S", str(Path(keeper.__file__))]
        started = process.start(
            [*program, str(listener.fileno()), str(self.door), self._marker],
            log=log,
            folder=self.folder,
            listener=listener,
            marker=self._marker,
        )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and started.is_alive():
            if (given := self._ask()) is not None:
                given.close()
                return
            time.sleep(0.01)
        started.stop()
        msg = f"keeper of the port of {self.folder.name!r} did not start: {process.tail(log)}"
        raise ServiceUnavailableError(msg)
