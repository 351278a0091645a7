"""Requirements that a model recorded, compared with the serving environment."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement

from airflow_mlops.backends.text_file import read_utf8
from airflow_mlops.core.release.readiness import Difference
from airflow_mlops.core.text_input import yaml_document

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def installed(package: str) -> str | None:
    """Return the version of a package in this environment; ``None`` if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def differences(
    model_dir: Path,
    *,
    found: Callable[[str], str | None] = installed,
    python: str = platform.python_version(),
) -> tuple[int | None, tuple[Difference, ...]]:
    """Return the number of recorded requirements (``None`` without the file), and the unmet ones.

    Python differs if its minor version does: pickles and wheels depend only on that.
    """
    path = model_dir / "requirements.txt"
    if not path.is_file():
        return None, ()
    lines = [line.split(" #")[0].strip() for line in path.read_text().splitlines()]
    wanted = [line for line in lines if line and not line.startswith(("#", "-"))]
    unmet = [one for line in wanted if (one := _difference(line, found)) is not None]
    return len(wanted), (*unmet, *_python(model_dir, python))


def _difference(line: str, found: Callable[[str], str | None]) -> Difference | None:
    try:
        wanted = Requirement(line)
    except InvalidRequirement:
        return Difference(package=line[:80], recorded="not a valid requirement")
    if wanted.marker is not None and not wanted.marker.evaluate():
        return None
    version = found(wanted.name)
    if version is not None and wanted.specifier.contains(version, prereleases=True):
        return None
    return Difference(package=wanted.name, recorded=str(wanted.specifier) or "any", found=version)


def _python(model_dir: Path, here: str) -> list[Difference]:
    path = model_dir / "python_env.yaml"
    if not path.is_file():
        return []
    recorded = str((yaml_document(read_utf8(str(path)), path.name) or {}).get("python", here))
    same = recorded.split(".")[:2] == here.split(".")[:2]
    return [] if same else [Difference(package="python", recorded=recorded, found=here)]
