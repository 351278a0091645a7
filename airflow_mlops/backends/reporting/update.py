"""Update report as HTML: the verdict first, then its evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_mlops.backends.reporting.chart import FOREST_RIGHT, FOREST_ROW, FOREST_WIDTH
from airflow_mlops.backends.reporting.page import render
from airflow_mlops.backends.reporting.rollout import drawn
from airflow_mlops.backends.reporting.update_plots import metric_plot, segment_plots, unit_of
from airflow_mlops.core.release.card import COMPARISON_HEADER, compared_row
from airflow_mlops.core.release.version_status import State, sections_of
from airflow_mlops.core.validation.anchor import since_anchor
from airflow_mlops.core.validation.sample import BASELINE, CHALLENGER, CHAMPION
from airflow_mlops.core.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mlops.core.release.readiness import ReadinessReport
    from airflow_mlops.core.release.version_status import UpdateReport
    from airflow_mlops.core.validation.report import Report
    from airflow_mlops.core.verdict import Finding

_MOST_REASONS = 8
_SEGMENT_ROWS = 200
_HEADLINES = {
    State.UNDECIDED: ("Not decided yet", "inconclusive"),
    State.REFUSED: ("Refused by validation", "fail"),
    State.NOT_READY: ("Refused: not ready to serve", "fail"),
    State.REJECTED: ("Rejected", "fail"),
    State.CHALLENGER: ("Accepted as challenger", "pass"),
    State.ROLLING_OUT: ("Being rolled out", "inconclusive"),
    State.PROMOTED: ("Promoted to champion", "pass"),
    State.ROLLED_BACK: ("Rolled back", "fail"),
}
_TITLES = {
    "calibration": "Calibration",
    "fairness": "Fairness",
    "behaviour": "Behaviour: the author's checks",
    "security": "Security heuristics",
}
_LOOKS = {
    "better": "better",
    "not-worse": "not worse than allowed",
    "worse": "worse",
    "too-close": "too close to tell",
    "too-small": "too small to tell by itself",
    "found": "found by search: loses significantly more than allowed",
}
_DOCUMENTS = {
    "schema": "schema report",
    "skew": "skew report",
    "validation": "validation report",
    "readiness": "readiness report",
    "card": "model card",
}
_MEASURES = (
    ("Latency p50", "one_by_one", "p50_ms", "max_p50_ms", "p50_ms", "ms"),
    ("Latency p99", "one_by_one", "p99_ms", "max_p99_ms", "p99_ms", "ms"),
    ("Throughput", "at_once", "per_second", "min_per_second", "per_second", "answers/s"),
    ("Memory (RSS)", "", "rss_mb", "max_rss_mb", "rss_mb", "MB"),
    ("Model size", "", "model_mb", "max_model_mb", "model_mb", "MB"),
    ("Start", "", "start_seconds", "max_start_seconds", "start_seconds", "s"),
)
"""Label, part of the measurements, field, limit in the policy, subject of the finding, unit."""


def render_update(report: UpdateReport, run_url: str, paths: Mapping[str, str]) -> str:
    """Return the report as HTML.

    :param run_url: URL of the evidence run, for links to its documents; no links if empty.
    :param paths: path of the document in the evidence run, by part of the report.
    """
    words, look = _HEADLINES[report.state]
    validation = report.validation
    if report.state is State.REFUSED and validation and validation.verdict.outcome is Outcome.INCONCLUSIVE:
        words, look = "Not accepted: validation could not tell", "inconclusive"
    if look == "pass" and any(gate.outcome is Outcome.WARN for gate in report.gates):
        look = "warn"
    found = sections_of(validation) if validation else {name: [] for name in _TITLES}
    return render(
        "update.html.j2",
        report=report,
        words=words,
        look=look,
        reasons=report.reasons[:_MOST_REASONS],
        more_reasons=max(0, len(report.reasons) - _MOST_REASONS),
        why_missing={one.part: one.reason for one in report.missing},
        documents=_documents(report, run_url, paths),
        metrics=_metrics(validation) if validation else [],
        since_anchor=since_anchor(validation) if validation else [],
        segments=segment_plots(validation) if validation else [],
        segment_rows=_segment_rows(validation) if validation else [],
        header=("Segment", *COMPARISON_HEADER),
        looks=_LOOKS,
        sections=[(_TITLES[name], name, findings) for name, findings in found.items()],
        measures=_measures(report.readiness) if report.readiness else [],
        served=_served(report.readiness) if report.readiness else [],
        drawings=[drawn(one.history) if one.history else {} for one in report.rollouts],
        frame={"width": FOREST_WIDTH, "right": FOREST_RIGHT, "row": FOREST_ROW},
    )


def _documents(report: UpdateReport, run_url: str, paths: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return links to existing documents; only for http and https."""
    if not run_url.startswith(("http://", "https://")):
        return []
    there = [(name, paths[part]) for part, name in _DOCUMENTS.items() if getattr(report, part)]
    return [("evidence run", run_url), *((n, f"{run_url}/artifacts/{quote(path)}") for n, path in there)]


def _metrics(validation: Report) -> list[dict[str, Any]]:
    """Return, per metric, the plot and a table row per model and floor."""
    floors = {f.subject: f for f in validation.verdict.findings if f.check in ("floor", "ceiling")}
    shown = []
    for metric in dict.fromkeys(one.metric for one in validation.values):
        floor = floors.get(metric)
        limit = float(floor.allowed) if floor and floor.allowed is not None else None
        shown.append(
            {
                "name": metric,
                "unit": unit_of(metric),
                "plot": metric_plot(validation, metric, limit),
                "rows": _models(validation, metric, floor),
                "floor": limit,
            }
        )
    return shown


def _models(validation: Report, metric: str, floor: Finding | None) -> list[dict[str, Any]]:
    told = {(f.check, f.subject): f for f in validation.verdict.findings}
    gains = {one.rival: one for one in validation.comparisons if one.metric == metric and not one.segment}
    rows: list[dict[str, Any]] = []
    for one in (value for value in validation.values if value.metric == metric):
        version, gain = validation.versions.get(one.model, ""), gains.get(one.model)
        finding = told.get((f"against_{one.model}", metric))
        rows.append({"model": one.model, "version": version, "value": one, "gain": gain, "finding": finding})
    if floor is not None:
        rows.append({"model": floor.check, "version": "", "value": None, "gain": None, "finding": floor})
    judged = [row["finding"].outcome for row in rows if row["finding"]]
    worst = max(judged, key=list(Outcome).index, default=Outcome.INCONCLUSIVE)
    for row in rows:
        own = row["finding"].outcome if row["finding"] else None
        row |= {
            "outcome": worst if row["model"] == CHALLENGER else own,
            "reason": _reason(row["model"], row["finding"]),
        }
    return rows


def _reason(model: str, finding: Finding | None) -> str:
    if model == CHALLENGER:
        return "the worst of the rows below"
    if finding is None:
        return "not compared" if model in (CHAMPION, BASELINE) else ""
    return finding.reason


def _segment_rows(validation: Report) -> list[tuple[str, ...]]:
    declared = [one for one in validation.comparisons if one.rival == CHAMPION and one.segment]
    rows = [(one.segment, *compared_row(one)) for one in declared[:_SEGMENT_ROWS]]
    for one in validation.weak_slices:
        gain = f"{one.gain:+.4f} ({one.lower:+.4f} to {one.upper:+.4f})"
        rows.append((one.name, one.metric, str(one.rows), "", CHAMPION, "", gain, "found by search: worse"))
    return rows


def _measures(ready: ReadinessReport) -> list[dict[str, Any]]:
    """Return measurements with their limits; also those that have a limit but no value."""
    judged = {f.subject: f.outcome for f in ready.verdict.findings if f.check == "limit"}
    rows = []
    for name, part, key, limit_key, subject, unit in _MEASURES:
        place = getattr(ready.measured, part) if part else ready.measured
        value, limit = getattr(place, key, None), getattr(ready.policy, limit_key)
        rows.append(
            {
                "name": name,
                "value": value,
                "unit": unit,
                "limit": limit,
                "side": "at least" if key == "per_second" else "at most",
                "outcome": judged.get(subject),
            }
        )
    return rows


def _served(ready: ReadinessReport) -> list[Finding]:
    """Return the other findings: requirements, signature, answers, load."""
    return [f for f in ready.verdict.findings if f.check not in ("limit", "note")]
