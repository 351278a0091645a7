"""Judged windows of a champion: one tag a window, on the evidence run of the DAG run that judged it."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass

from airflow_mlops.backends.evidence.protocol import EvidenceStore
from airflow_mlops.core.errors import InvalidRecordError
from airflow_mlops.core.monitoring.alarm import JudgedWindow

_logger = logging.getLogger(__name__)
_OF, _WINDOW = "mlops.performance.of", "mlops.performance.window"
_MOST = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedWindows:
    """What each window of one champion showed; a new champion, or another metric, starts anew.

    :param champion: its version; ``champion_run``: its evidence run, for a number alone may be given twice.
    """

    store: EvidenceStore
    model: str
    champion: str
    champion_run: str
    metric: str

    def keep(self, run: str, window: JudgedWindow) -> list[JudgedWindow]:
        """Store a window with the evidence run that judged it; return all there are, oldest judgement first.

        A window that is judged again has two entries; the later one is last.
        """
        whose = f"{self.metric} of version {self.champion}, run {self.champion_run}"
        found = self.store.search(self.model, {_OF: whose}, limit=_MOST)
        self.store.set_tags(run, {_OF: whose, _WINDOW: json.dumps(window.to_json())})
        earlier = [_read(tags.get(_WINDOW, "")) for other, tags in reversed(found) if other != run]
        return [*(one for one in earlier if one is not None), window]


def _read(text: str) -> JudgedWindow | None:
    try:
        return JudgedWindow.from_json(json.loads(text))
    except (InvalidRecordError, json.JSONDecodeError) as error:
        _logger.warning("judged window ignored: %s", error)
        return None
