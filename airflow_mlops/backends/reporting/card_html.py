"""Model card as one HTML file: no scripts, nothing fetched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from airflow_mlops.core.validation.card import EMPTY

if TYPE_CHECKING:
    from airflow_mlops.core.validation.card import Card

TEMPLATE = "card.html.j2"


def render_card(card: Card) -> str:
    """Return the card as HTML; all text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(card=card, empty=EMPTY)
