"""Model card as one HTML file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.backends.reporting.page import render
from airflow_mlops.core.release.card import EMPTY_SECTION

if TYPE_CHECKING:
    from airflow_mlops.core.release.card import ModelCard


def render_card(card: ModelCard) -> str:
    """Return the card as HTML; all text is escaped."""
    return render("card.html.j2", card=card, empty=EMPTY_SECTION)
