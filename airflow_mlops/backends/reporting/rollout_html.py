"""Rollout report as one HTML file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.reporting.page import render
from airflow_mlops.backends.reporting.rollout_plots import HEIGHT, WIDTH, plots_of
from airflow_mlops.core.rollout.state import Phase

if TYPE_CHECKING:
    from airflow_mlops.core.rollout.history import RolloutHistory

WORDS = {
    Phase.PASSED: "advanced",
    Phase.PROMOTED: "advanced",
    Phase.ROLLED_BACK: "rolled back",
    Phase.HELD: "held",
    Phase.WAITING_FOR_APPROVAL: "waited for approval",
}


def render_rollout(history: RolloutHistory) -> str:
    """Return the report as HTML; names and reasons may be any text, they are escaped."""
    return render("rollout.html.j2", history=history, **drawn(history))


def drawn(history: RolloutHistory) -> dict[str, Any]:
    """Return what the plots and the table of steps need."""
    return {"plots": plots_of(history), "words": WORDS, "size": (WIDTH, HEIGHT)}
