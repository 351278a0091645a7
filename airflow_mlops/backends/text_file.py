"""Text files on this machine: read as UTF-8, replaced atomically; errors name the file."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.text_input import utf8_text


def read_utf8(path: str) -> str:
    """Return a file's text.

    :raises InvalidConfigError: no such file, a directory, or not text in UTF-8.
    """
    try:
        return utf8_text(Path(path).read_bytes(), path)
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise InvalidConfigError(msg) from error


def write_atomically(path: str, text: str) -> None:
    """Replace a file by renaming: a reader sees the old text or the new one.

    :raises InvalidConfigError: the folder is absent or cannot be written.
    """
    target = Path(path)
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(name).chmod(mode)
            Path(name).replace(target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                Path(name).unlink()
            raise
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise InvalidConfigError(msg) from error
