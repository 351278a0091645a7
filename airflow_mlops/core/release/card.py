"""Model card (Mitchell et al. 2019): data, metrics and intended use of a version, as sections."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.errors import CardIncompleteError
from airflow_mlops.core.record import Record
from airflow_mlops.core.release.readiness import ReadinessMeasurements
from airflow_mlops.core.training.candidate import Candidate
from airflow_mlops.core.validation.report import Report

if TYPE_CHECKING:
    from airflow_mlops.core.validation.report import Comparison

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
EMPTY_SECTION = "Not stated."
_MOST_PARTITIONS = 12
_MOST_CLASSES = 50
_MOST_ROWS = 200
COMPARISON_HEADER = ("Metric", "Rows", "This version", "Against", "Its value", "Gain, with bounds", "Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement(Record):
    """What people state about a model; everything else in a card is measured.

    :param more: further sections: title to text.
    """

    owners: tuple[str, ...] = ()
    intended_use: str = ""
    limitations: tuple[str, ...] = ()
    more: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section(Record):
    """A section of the card.

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
        """Whether it has any content."""
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
    """Escape text for Markdown, on one line."""
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
    return "\n\n".join(parts if section.is_filled else [parts[0], EMPTY_SECTION])


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts(Record):
    """Everything a card is filled from; what is not known stays empty.

    :param tags: of the registered version.
    :param schema: name, digest and number of rules of the suite that the data met.
    """

    candidate: Candidate
    report: Report | None = None
    readiness: ReadinessMeasurements | None = None
    tags: dict[str, str] = field(default_factory=dict)
    schema: dict[str, str] = field(default_factory=dict)
    statement: Statement = field(default_factory=Statement)


def card_of(facts: CardFacts) -> ModelCard:
    """Return the card, every section in its place, filled or not."""
    statement, made = facts.statement, facts.candidate
    sections = (
        _section("overview", facts=_overview(facts)),
        _section("owners", paragraphs=(", ".join(statement.owners),)),
        _section("intended_use", paragraphs=(statement.intended_use,)),
        _section("limitations", facts=tuple((f"{i}", t) for i, t in enumerate(statement.limitations, 1))),
        _section("data", facts=_data(made)),
        _section("schema", facts=tuple(facts.schema.items())),
        _compared("metrics", facts.report, in_segments=False),
        _compared("segments", facts.report, in_segments=True),
        _section("training", facts=_training(facts)),
        _section("serving", facts=_serving(facts.readiness)),
        *(Section(name=title, title=title, paragraphs=(text,)) for title, text in statement.more.items()),
    )
    return ModelCard(title=f"{made.model} version {made.version}", sections=sections)


def _section(name: str, **content: Any) -> Section:
    return Section(name=name, title=CARD_SECTIONS[name], **content)


def _overview(facts: CardFacts) -> tuple[tuple[str, str], ...]:
    made, tags = facts.candidate, facts.tags
    verdict = facts.report.verdict.outcome if facts.report else ""
    known = {
        "Model": made.model,
        "Version": made.version,
        "Trained because": made.trigger_reason,
        "Trained by": " ".join(filter(None, (tags.get("mlops.dag_id"), tags.get("mlops.run_id")))),
        "Evidence run": made.evidence_run,
        "Validation": str(verdict),
    }
    return _stated(known)


def _data(made: Candidate) -> tuple[tuple[str, str], ...]:
    window = made.window
    return _stated(
        {
            "Dataset": window.uri,
            "Partitions": _listed(window.partitions),
            "Digest": window.digest,
            "Rows trained on": str(made.trained_rows),
            "Rows held back": str(made.holdout_rows),
        }
    )


def _training(facts: CardFacts) -> tuple[tuple[str, str], ...]:
    made = facts.candidate
    versions = json.loads(facts.tags.get("mlops.versions") or "{}")
    return _stated(
        {
            "Parameters": json.dumps(made.params, sort_keys=True, default=str) if made.params else "",
            "Metrics on held-back rows": ", ".join(f"{k} {v:.4g}" for k, v in made.metrics.items()),
            "Classes": ", ".join(made.classes[:_MOST_CLASSES]),
            "Positive class": made.positive,
            "Commit": facts.tags.get("mlops.git_sha", ""),
            "Software": ", ".join(f"{name} {version}" for name, version in versions.items()),
        }
    )


def _serving(found: ReadinessMeasurements | None) -> tuple[tuple[str, str], ...]:
    if found is None:
        return ()
    one, many = found.one_by_one, found.at_once
    differ = (f"{d.package} {d.recorded} (serving: {d.found or 'none'})" for d in found.differences)
    return _stated(
        {
            "Latency": f"p50 {one.p50_ms:.3g} ms, p99 {one.p99_ms:.3g} ms" if one and one.p99_ms else "",
            "Throughput": f"{many.per_second:.4g} answers/s" if many and many.per_second else "",
            "Memory": f"{found.rss_mb:.0f} MB" if found.rss_mb else "",
            "Model size": f"{found.model_mb:.3g} MB" if found.model_mb else "",
            "Start": f"{found.start_seconds:.1f} s" if found.start_seconds else "",
            "Other versions when served": ", ".join(differ),
        }
    )


def _compared(name: str, report: Report | None, *, in_segments: bool) -> Section:
    kept = [one for one in (report.comparisons if report else ()) if bool(one.segment) == in_segments]
    header = (("Segment",) if in_segments else ()) + COMPARISON_HEADER
    rows = tuple(((one.segment,) if in_segments else ()) + compared_row(one) for one in kept[:_MOST_ROWS])
    rest = len(kept) - _MOST_ROWS
    notes = (f"{rest} more are in the validation report.",) if rest > 0 else ()
    return _section(name, header=header, rows=rows, paragraphs=notes)


def compared_row(one: Comparison) -> tuple[str, ...]:
    """Return a comparison's cells, as ``COMPARED`` names them."""
    bounds = "" if one.lower is None or one.upper is None else f" ({one.lower:+.4f} to {one.upper:+.4f})"
    gain = "" if one.gain is None else f"{one.gain:+.4f}{bounds}"
    return (
        one.metric,
        str(one.rows),
        _number(one.challenger),
        one.rival,
        _number(one.other),
        gain,
        str(one.answer),
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _listed(names: tuple[str, ...]) -> str:
    if len(names) <= _MOST_PARTITIONS:
        return ", ".join(names)
    return f"{names[0]} to {names[-1]}, {len(names)} in all"


def _stated(known: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in known.items() if value)
