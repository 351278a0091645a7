"""Identity of a model that serves: a version number alone may name another model tomorrow."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from airflow_mlops.core.errors import ModelReplacedError

if TYPE_CHECKING:
    from pathlib import Path

_DESCRIPTION = "MLmodel"


def identity_of(model_dir: Path | None) -> str:
    """Return the identity of a local MLflow model folder; empty without one.

    It is a digest of the file ``MLmodel``, which MLflow writes with a number of its own for each model.
    """
    description = model_dir / _DESCRIPTION if model_dir is not None else None
    if description is None or not description.is_file():
        return ""
    return digest(description.read_bytes())


def digest(description: bytes) -> str:
    """Return the identity of a model by the content of its file ``MLmodel``."""
    return hashlib.sha256(description).hexdigest()[:16]


def require_same_model(where: str, version: str, *, known: str, wanted: str) -> None:
    """Refuse a model under a version number that another model has.

    :param where: endpoint or location.
    :param known: identity of the model that is there; empty: not known.
    :param wanted: identity of the model that is asked for; empty: not known.
    :raises ModelReplacedError: both are known and differ.
    """
    if known and wanted and known != wanted:
        msg = (
            f"{where}: version {version} is another model (MLmodel {known}) than is asked for ({wanted}): "
            "a registered model that was deleted and made again counts its versions anew; nothing was "
            "changed; give the new model a name of its own, or register it again, for a number that is free"
        )
        raise ModelReplacedError(msg)
