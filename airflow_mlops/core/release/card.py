"""Model card: what a version is, was made of and can do, as sections that become Markdown and HTML."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_mlops.core.errors import CardIncompleteError
from airflow_mlops.core.record import Record

CARD_SECTIONS = {
    "overview": "Overview",
    "owners": "Owners",
    "intended_use": "Intended use",
    "limitations": "Limitations",
    "data": "Data",
    "schema": "Schema",
    "metrics": "Metrics",
    "segments": "Segments",
    "training": "Training",
    "serving": "Serving",
}
"""Sections by name, with their titles, in the order of the card."""
EMPTY = "Not stated."


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement(Record):
    """What people say about a model; everything else in a card is measured.

    :param more: further sections: title to text.
    """

    owners: tuple[str, ...] = ()
    intended_use: str = ""
    limitations: tuple[str, ...] = ()
    more: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section(Record):
    """A part of the card; empty if it says nothing.

    :param facts: name and value.
    :param rows: of a table with the columns ``header``.
    """

    name: str
    title: str
    paragraphs: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()

    @property
    def is_filled(self) -> bool:
        """Whether anything is said."""
        said = (*self.paragraphs, *(value for _, value in self.facts))
        return bool(self.rows) or any(one.strip() for one in said)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard(Record):
    """A model card."""

    title: str
    sections: tuple[Section, ...]

    def require(self, names: tuple[str, ...]) -> None:
        """Stop unless the named sections are filled.

        :raises CardIncompleteError: names each section that is empty or not there.
        """
        filled = {section.name for section in self.sections if section.is_filled}
        empty = [name for name in names if name not in filled]
        if empty:
            msg = (
                f"model card: required section {', '.join(empty)} is empty; fill it in the configuration "
                "under card, or see why it could not be measured"
            )
            raise CardIncompleteError(msg)

    def markdown(self) -> str:
        """Return the card as Markdown; text of people and data is escaped."""
        parts = [f"# {escaped(self.title)}", *(_markdown(section) for section in self.sections)]
        return "\n\n".join(parts) + "\n"


def table(header: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> str:
    """Return a Markdown table."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(escaped(cell) for cell in line)} |" for line in lines)


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    line = " ".join(str(text).split())
    for mark in "\\`*_[]<>|#":
        line = line.replace(mark, f"\\{mark}")
    return line


def _markdown(section: Section) -> str:
    parts = [f"## {escaped(section.title)}", *(escaped(text) for text in section.paragraphs)]
    if section.facts:
        parts.append("\n".join(f"- {escaped(name)}: {escaped(value)}" for name, value in section.facts))
    if section.rows:
        parts.append(table(section.header, section.rows))
    return "\n\n".join(parts if section.is_filled else [parts[0], EMPTY])
