"""Where remote endpoints load models from: a URI per version, filled from the local model folder."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_mlops.backends.serving.remote.state import Release
from airflow_mlops.core.errors import InvalidConfigError, InvalidDataError

if TYPE_CHECKING:
    from pathlib import Path

VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
LAST = "MLmodel"


class ModelStore:
    """Models by URI template.

    :param template: with ``{endpoint}`` and ``{version}``, ``s3://models/{endpoint}/{version}``.
    :param upload: copy the model folder there (through fsspec); otherwise it has to be there already.
    """

    def __init__(self, template: str, *, upload: bool = False) -> None:
        if "{version}" not in template or _filled(template, "e", "v") is None:
            msg = f"model location {template!r}; allowed: a text with {{version}} and {{endpoint}} to fill in"
            raise InvalidConfigError(msg)
        self.template = template
        self.upload = upload

    def release(self, endpoint: str, version: str) -> Release:
        """Return where a version is.

        :raises InvalidConfigError: a version that cannot be part of a URI.
        """
        if not VERSION.fullmatch(version):
            msg = f"version {version!r}: letters, digits, '_', '-' and '.' are allowed"
            raise InvalidConfigError(msg)
        return Release(version=version, source=str(_filled(self.template, endpoint, version)))

    def version_at(self, endpoint: str, source: str) -> str:
        """Return the version a URI is of; the URI itself if it is not one of ours."""
        pattern = re.escape(str(_filled(self.template, endpoint, "\0"))).replace(re.escape("\0"), "(.+)")
        found = re.fullmatch(pattern, source)
        return found[1] if found else source

    def publish(self, endpoint: str, version: str, model_dir: Path) -> Release:
        """Return where a version is, after copying it there if that is wanted and not done.

        The file ``MLmodel`` is copied last: where it is, the others are.
        """
        release = self.release(endpoint, version)
        if self.upload:
            self._copy(model_dir, release.source)
        return release

    def _copy(self, model_dir: Path, uri: str) -> None:
        import fsspec

        files, root = fsspec.core.url_to_fs(uri)
        if files.exists(f"{root}/{LAST}"):
            return
        if not (model_dir / LAST).is_file():
            msg = f"{model_dir}: no MLflow model (no file {LAST}); nothing was copied"
            raise InvalidDataError(msg)
        names = sorted(str(path.relative_to(model_dir)) for path in model_dir.rglob("*") if path.is_file())
        for name in [*(name for name in names if name != LAST), LAST]:
            target = f"{root}/{name}"
            files.makedirs(target.rpartition("/")[0], exist_ok=True)
            files.put_file(str(model_dir / name), target)


def _filled(template: str, endpoint: str, version: str) -> str | None:
    try:
        return template.format(endpoint=endpoint, version=version)
    except (KeyError, IndexError, ValueError):
        return None
