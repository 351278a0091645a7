"""HTML layout of all reports: one file each, no scripts, no external resources, all text escaped.

Also renders the model card, which is only a template.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.nouns import with_noun
from airflow_mlops.core.release.card import EMPTY_SECTION

if TYPE_CHECKING:
    from airflow_mlops.core.release.card import ModelCard


def render(template: str, **values: Any) -> str:
    """Render a template of this folder; an undefined value is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "moment": _moment, "clock": _clock, "duration": _duration}
    environment.filters["with_noun"] = with_noun
    return environment.get_template(template).render(**values)


def render_card(card: ModelCard) -> str:
    """Return the model card as HTML."""
    return render("card.html.j2", card=card, empty=EMPTY_SECTION)


def _number(value: float) -> str:
    """Format a number with three digits; small ones in scientific notation."""
    return "0" if abs(value) < 5e-7 else (f"{value:.1e}" if abs(value) < 1e-3 else f"{value:.3f}")


def _moment(at: float) -> str:
    """Format seconds since the epoch."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _clock(at: float) -> str:
    """Format the time of the day of seconds since the epoch (UTC)."""
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}"


def _duration(seconds: float) -> str:
    """Format a duration in seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
