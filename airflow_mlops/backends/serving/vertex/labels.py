"""Encoding of an endpoint's state as Vertex AI labels, traffic split and deployed-model ids; pure."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_mlops.backends.serving.remote.state import RemoteState
from airflow_mlops.core.errors import InvalidConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mlops.backends.serving.remote.platform import Json
    from airflow_mlops.core.rollout.end import RolloutEnd

_ENDPOINT = re.compile(r"projects/[^/]+/locations/([^/]+)/endpoints/[^/]+")
_LABEL_PREFIX = "mlops-state-"
_LABEL_LENGTH = 63
_MOST_LABELS = 64
_SHORT = 60
"""Length that texts of a pending end are cut to: labels hold about 2,500 bytes in all."""


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
    """Return the labels with the state encoded in them; a value holds 63 lower-case letters and digits.

    Pending ends are shortened: reason, actor and holder are cut, the model is the endpoint. Where 64 labels
    do not hold all of them, the oldest are dropped.
    """
    others = {key: value for key, value in labels.items() if not key.startswith(_LABEL_PREFIX)}
    ends = tuple(_shortened(end, state.endpoint) for end in state.ends)
    chunks = _chunks(replace(state, ends=ends))
    while ends and len(chunks) + len(others) > _MOST_LABELS:
        ends = ends[1:]
        chunks = _chunks(replace(state, ends=ends))
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


def _chunks(state: RemoteState) -> list[str]:
    packed = zlib.compress(json.dumps(_without_defaults(state), sort_keys=True).encode(), 9)
    text = base64.b32encode(packed).decode().rstrip("=").lower()
    return [text[start : start + _LABEL_LENGTH] for start in range(0, len(text), _LABEL_LENGTH)]


def _without_defaults(state: RemoteState) -> Json:
    """Return the state's JSON without what this version added and does not use: labels are short."""
    found = state.to_json()
    if not found["ends"]:
        del found["ends"]
    for release in (found["stable"], found["canary"], *found["former"]):
        if release is not None and not release["identity"]:
            del release["identity"]
    return found


def _shortened(end: RolloutEnd, endpoint: str) -> RolloutEnd:
    return replace(
        end,
        model=endpoint,
        reason=end.reason[:_SHORT],
        actor=end.actor[:_SHORT],
        holder=end.holder[:_SHORT],
        at=float(round(end.at)),
    )
