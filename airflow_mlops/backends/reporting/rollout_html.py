"""Rollout report as one HTML file: no scripts, nothing fetched, readable on a phone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.backends.reporting.rollout_plots import HEIGHT, WIDTH, duration, plots_of
from airflow_mlops.core.rollout.state import Phase

if TYPE_CHECKING:
    from airflow_mlops.core.rollout.history import RolloutHistory

TEMPLATE = "rollout.html.j2"
WORDS = {
    Phase.PASSED: "advanced",
    Phase.PROMOTED: "advanced",
    Phase.ROLLED_BACK: "rolled back",
    Phase.HELD: "held",
    Phase.WAITING_FOR_APPROVAL: "waited for approval",
}


def render_rollout(history: RolloutHistory) -> str:
    """Return the report as HTML; names and reasons may be any text, they are escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = duration
    environment.filters["moment"] = _moment
    return environment.get_template(TEMPLATE).render(
        history=history, plots=plots_of(history), words=WORDS, size=(WIDTH, HEIGHT)
    )


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
