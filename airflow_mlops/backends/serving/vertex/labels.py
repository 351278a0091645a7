"""Encoding of an endpoint's state as Vertex AI labels, traffic split and deployed-model ids; pure."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from typing import TYPE_CHECKING

from airflow_mlops.backends.serving.remote.state import RemoteState
from airflow_mlops.core.errors import InvalidConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

_ENDPOINT = re.compile(r"projects/[^/]+/locations/([^/]+)/endpoints/[^/]+")
_LABEL_PREFIX = "mlops-state-"
_LABEL_LENGTH = 63


def traffic_split(state: RemoteState) -> dict[str, int]:
    """Return the share of each deployed model, without those at 0."""
    if state.canary is None:
        return {} if state.stable is None else {state.stable.source: 100}
    if state.stable is None:
        return {state.canary.source: 100}
    both = {state.stable.source: 100 - state.percent, state.canary.source: state.percent}
    return {key: share for key, share in both.items() if share}


def deployed_id(endpoint: str, version: str) -> str:
    """Return the deployed-model id of a version: ten digits, deterministic."""
    digest = hashlib.sha256(f"{endpoint}\0{version}".encode()).digest()
    return str(10**9 + int.from_bytes(digest[:8], "big") % (9 * 10**9))


def write_labels(labels: Mapping[str, str], state: RemoteState) -> dict[str, str]:
    """Return the labels with the state encoded in them; a value holds 63 lower-case letters and digits."""
    packed = zlib.compress(json.dumps(state.to_json(), sort_keys=True).encode(), 9)
    text = base64.b32encode(packed).decode().rstrip("=").lower()
    chunks = [text[start : start + _LABEL_LENGTH] for start in range(0, len(text), _LABEL_LENGTH)]
    others = {key: value for key, value in labels.items() if not key.startswith(_LABEL_PREFIX)}
    return others | {f"{_LABEL_PREFIX}{number:02d}": chunk for number, chunk in enumerate(chunks)}


def read_labels(labels: Mapping[str, str]) -> RemoteState | None:
    """Return the state that :func:`write_labels` encoded, ``None`` without one."""
    text = "".join(labels[key] for key in sorted(labels) if key.startswith(_LABEL_PREFIX)).upper()
    if not text:
        return None
    packed = base64.b32decode(text + "=" * (-len(text) % 8))
    return RemoteState.from_json(json.loads(zlib.decompress(packed)))


def region_of(endpoint: str, name: str) -> str:
    """Return the region of an endpoint's resource name.

    :raises InvalidConfigError: it is not a resource name of an endpoint.
    """
    found = _ENDPOINT.fullmatch(str(name))
    if found is None:
        msg = f"endpoint {endpoint!r}: {name!r}; allowed: projects/…/locations/…/endpoints/… in 'endpoints'"
        raise InvalidConfigError(msg)
    return found[1]
