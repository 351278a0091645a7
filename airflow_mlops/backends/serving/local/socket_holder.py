"""A small process that holds a gateway's listening socket, so that it outlives the gateway.

While no gateway accepts, clients wait in the kernel's backlog instead of being refused. Whoever connects to
the door, a Unix socket, is given the listening socket. Run by its path, isolated: standard library only.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PRIVATE = 0o177


def main(argv: Sequence[str]) -> None:
    """Hold the socket of number ``argv[0]`` and give it to callers at the path ``argv[1]``."""
    listener, path = socket.socket(fileno=int(argv[0])), argv[1]
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - pathlib takes longer to import than all the rest
    os.umask(PRIVATE)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(path)
        door.listen()
        while True:
            caller, _ = door.accept()
            with caller, contextlib.suppress(OSError):  # a caller that died is no reason to let go
                socket.send_fds(caller, [b"1"], [listener.fileno()])


if __name__ == "__main__":
    main(sys.argv[1:])
