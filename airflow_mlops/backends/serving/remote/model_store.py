"""Model store: a URI per version from which remote endpoints load, filled from the local model folder."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_mlops.backends.serving.identity import digest, identity_of, require_same_model
from airflow_mlops.backends.serving.remote.state import Release
from airflow_mlops.core.errors import InvalidConfigError, InvalidDataError

if TYPE_CHECKING:
    from pathlib import Path

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LAST = "MLmodel"


class ModelStore:
    """Model locations by URI template.

    :param template: such as ``s3://models/{endpoint}/{version}``.
    :param upload: copy the model folder there (through fsspec); otherwise the model must be there already.
    """

    def __init__(self, template: str, *, upload: bool = False) -> None:
        if "{version}" not in template or _filled(template, "e", "v") is None:
            msg = f"model location {template!r}; allowed: a text with {{version}} and {{endpoint}} to fill in"
            raise InvalidConfigError(msg)
        self.template = template
        self.upload = upload

    def release(self, endpoint: str, version: str) -> Release:
        """Return a version with its location.

        :raises InvalidConfigError: the version cannot be part of a URI.
        """
        if not _VERSION.fullmatch(version):
            msg = f"version {version!r}: letters, digits, '_', '-' and '.' are allowed"
            raise InvalidConfigError(msg)
        return Release(version=version, source=str(_filled(self.template, endpoint, version)))

    def version_at(self, endpoint: str, source: str) -> str:
        """Return the version at a location; the location itself if it does not match the template."""
        pattern = re.escape(str(_filled(self.template, endpoint, "\0"))).replace(re.escape("\0"), "(.+)")
        found = re.fullmatch(pattern, source)
        return found[1] if found else source

    def publish(self, endpoint: str, version: str, model_dir: Path) -> Release:
        """Return a version with its location; upload the model first if that is configured and not done.

        The file ``MLmodel`` is copied last: where it exists, the upload was complete, and it tells the model.

        :raises ModelReplacedError: another model is there under this version.
        """
        release = self.release(endpoint, version)
        if self.upload:
            self._copy(model_dir, release.source, version)
        return release

    def _copy(self, model_dir: Path, uri: str, version: str) -> None:
        import fsspec

        files, root = fsspec.core.url_to_fs(uri)
        if files.exists(f"{root}/{_LAST}"):
            known = digest(files.cat_file(f"{root}/{_LAST}"))
            require_same_model(uri, version, known=known, wanted=identity_of(model_dir))
            return
        if not (model_dir / _LAST).is_file():
            msg = f"{model_dir}: no MLflow model (no file {_LAST}); nothing was copied"
            raise InvalidDataError(msg)
        names = sorted(str(path.relative_to(model_dir)) for path in model_dir.rglob("*") if path.is_file())
        for name in [*(name for name in names if name != _LAST), _LAST]:
            target = f"{root}/{name}"
            files.makedirs(target.rpartition("/")[0], exist_ok=True)
            files.put_file(str(model_dir / name), target)


def _filled(template: str, endpoint: str, version: str) -> str | None:
    try:
        return template.format(endpoint=endpoint, version=version)
    except (KeyError, IndexError, ValueError):
        return None
