"""Environments for other tools, each apart from ours and from each other, built when first needed."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1] / "build" / "peers"
PYTHON = "python3.11"
SECONDS = 1200


class NotInstalledError(Exception):
    """A peer cannot be had here; the message says why."""


def python_of(name: str) -> str:
    """Return the interpreter of a peer's environment; build it if its pins changed.

    :param name: stem of a file of pinned requirements beside this module.
    :raises NotInstalledError: no Python 3.11, or pip could not install the pins.
    """
    pins = HERE / f"{name}.txt"
    folder = ROOT / name
    mark, wanted = folder / ".installed", hashlib.sha256(pins.read_bytes()).hexdigest()
    if not (mark.is_file() and mark.read_text() == wanted):
        _build(folder, pins)
        mark.write_text(wanted)
    return str(folder / "bin" / "python")


def _build(folder: Path, pins: Path) -> None:
    if shutil.which(PYTHON) is None:
        msg = f"{PYTHON} is not there"
        raise NotInstalledError(msg)
    print(f"building {folder} (once, some minutes)", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    _run(PYTHON, "-m", "venv", str(folder))
    _run(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--requirement", str(pins))


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        msg = f"not installed within {SECONDS} s"
        raise NotInstalledError(msg) from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        msg = (errors or ["no message"])[-1][:200]
        raise NotInstalledError(msg)


if __name__ == "__main__":
    for peer in sys.argv[1:]:
        print(python_of(peer))
