"""Candidate: a trained and registered version that has not been validated yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from airflow_mlops.core.data.window import Window
from airflow_mlops.core.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate(Record):
    """What training hands over to validation.

    :param metrics: of the held-back rows.
    :param trigger_reason: why it was trained.
    :param classes: the target's classes in the order of the scores' columns; empty where labels are numbers.
    """

    model: str
    version: str
    evidence_run: str
    window: Window
    trained_rows: int
    holdout_rows: int
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    trigger_reason: str = ""
    classes: tuple[str, ...] = ()
