"""Where a rollout's live state is kept: beside the serving state, where the triggerer can write it."""

from __future__ import annotations

import json
import logging
import os
import threading
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from airflow_mlops.core.errors import MlopsError
from airflow_mlops.core.rollout.live import LiveRollout, live_rollout

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_mlops.backends.serving.protocol import ServingBackend
    from airflow_mlops.core.rollout.plan import RolloutPlan
    from airflow_mlops.core.rollout.state import RolloutState

_NAME = "live.json"
_log = logging.getLogger(__name__)


@runtime_checkable
class LiveStore(Protocol):
    """A back end that keeps live states; the others leave them to the tasks' logs."""

    def keep_live(self, endpoint: str, live: LiveRollout) -> None:
        """Replace the live state of an endpoint's rollout."""

    def live(self, endpoint: str) -> LiveRollout | None:
        """Return the last one kept; it may be of a rollout that ended. ``None`` if there is none."""


class LiveFiles:
    """Implements :class:`LiveStore` for a back end with a folder per endpoint.

    A live state is a JSON file beside the endpoint's state, replaced atomically, readable without a lock.
    """

    state_dir: Path

    def keep_live(self, endpoint: str, live: LiveRollout) -> None:
        """Replace the file."""
        path = self.state_dir / endpoint / _NAME
        fresh = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
        try:
            fresh.write_text(json.dumps(live.to_json()))
            fresh.replace(path)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise

    def live(self, endpoint: str) -> LiveRollout | None:
        """Return what was written last.

        :raises InvalidRecordError: something else wrote the file.
        """
        try:
            return LiveRollout.from_json(json.loads((self.state_dir / endpoint / _NAME).read_text()))
        except FileNotFoundError:
            return None


def keep_live(backend: ServingBackend, endpoint: str, plan: RolloutPlan, state: RolloutState) -> None:
    """Keep a window where the back end can; no failure of it ever changes the analysis."""
    if not isinstance(backend, LiveStore):
        return
    try:
        backend.keep_live(endpoint, live_rollout(plan, state, _before(backend, endpoint)))
    except (MlopsError, OSError, ValueError) as error:
        _log.debug("the live state of %s is not kept: %s", endpoint, error)


def _before(store: LiveStore, endpoint: str) -> LiveRollout | None:
    try:
        return store.live(endpoint)
    except (MlopsError, OSError, ValueError):
        return None
