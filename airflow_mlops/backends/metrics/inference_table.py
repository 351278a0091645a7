"""Metrics source on a SQL table of answers: errors, latency, predictions, and quality by late labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from airflow_mlops.backends.metrics.protocol import Arms
from airflow_mlops.core.errors import InvalidConfigError, ServiceUnavailableError
from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.counters import ARMS, Reading
from airflow_mlops.core.rollout.evidence.prediction import BinCounts
from airflow_mlops.core.rollout.evidence.share import ArmCounts
from airflow_mlops.core.rollout.plan import RolloutMetric

_NO_ROWS: dict[str, int] = {}
_LEAST_STATUS, _LEAST_REFUSAL, _LEAST_ERROR = 100, 400, 500
_RECENT_SECONDS = 3600.0
_RECENT = "recent_"


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceTable(Record):
    """Name and columns of a table with one row per answer.

    :param time: time of the answer, epoch seconds.
    :param status: HTTP status; 500 and above are errors, and so are null and below 100 (0): no answer came.
        400 to 499 are client errors. No gRPC codes.
    :param seconds: duration; needed for latency, with ``slow_seconds``, the champion's p99.
    :param prediction: a number; with ``edges``, strictly increasing, predictions are measured: one bin below
        the first edge, one between two, one from the last, one for answers below 400 that hold no number.
    :param label: ground truth; an answer is wrong if its rounded prediction differs, or it holds no number
        although its status is below 400.
    :param labelled_at: arrival time of the label, epoch seconds; needed for quality.
    """

    table: str
    time: str = "time"
    version: str = "version"
    status: str = "status"
    seconds: str | None = None
    slow_seconds: float | None = None
    prediction: str | None = None
    edges: tuple[float, ...] = ()
    label: str | None = None
    labelled_at: str | None = None

    def __post_init__(self) -> None:
        """Refuse columns that are useful only together with others that are not given."""
        needs = (
            ("seconds and slow_seconds", self.seconds is not None, self.slow_seconds is not None),
            ("label and labelled_at", self.label is not None, self.labelled_at is not None),
            ("prediction with edges or label", self.prediction is not None, bool(self.edges or self.label)),
        )
        for names, one, other in needs:
            if one != other:
                msg = f"inference table {self.table}: {names} are needed together"
                raise InvalidConfigError(msg)
        if any(high <= low for low, high in pairwise(self.edges)):
            msg = f"inference table {self.table}: edges {list(self.edges)}, allowed: strictly rising"
            raise InvalidConfigError(msg)


class InferenceTableMetrics:
    """Implements :class:`~airflow_mlops.backends.metrics.protocol.MetricsSource`, one query per window.

    :param engine: of the database; a schema is part of the table's name, ``schema.table``.
    :param settle_seconds: usual delay between a row's time and its commit; newer rows are read later.
    :param late_seconds: longest delay beyond that: such rows count in the window in which they are seen;
        later ones never do. If ``time`` is a request's arrival, above the longest time-out.
    """

    def __init__(
        self,
        engine: sa.Engine,
        columns: InferenceTable,
        *,
        settle_seconds: float = 5.0,
        late_seconds: float = 120.0,
    ) -> None:
        self.engine = engine
        self.late_seconds = late_seconds
        self.columns = columns
        self.settle_seconds = settle_seconds

    @property
    def measures(self) -> frozenset[RolloutMetric]:
        """Errors, client errors, and the metrics for which the table has columns."""
        known = self.columns
        also = {
            RolloutMetric.LATENCY: known.seconds is not None,
            RolloutMetric.PREDICTIONS: bool(known.edges),
            RolloutMetric.QUALITY: known.labelled_at is not None,
        }
        always = (RolloutMetric.ERRORS, RolloutMetric.CLIENT_ERRORS)
        return frozenset({*always, *(metric for metric, holds in also.items() if holds)})

    def check(self, *, now: float) -> None:
        """Run the query on an empty window, and look at the statuses of the last hour."""
        self.read(Arms(canary="", stable=""), Reading(until=now - 1.0 - self.settle_seconds), now=now)
        at: sa.ColumnElement[float] = sa.column(self.columns.time)
        status: sa.ColumnElement[int] = sa.column(self.columns.status)
        highest = sa.select(sa.func.max(status).label("status")).select_from(_table(self.columns.table))
        found = self._rows(highest.where(at > now - _RECENT_SECONDS, at <= now))[0]["status"]
        if found is not None and found < _LEAST_STATUS:
            msg = (
                f"inference table {self.columns.table}: {self.columns.status} is at most {found}, "
                "allowed: HTTP status, 100 to 599; a view can translate gRPC codes"
            )
            raise InvalidConfigError(msg)

    def read(self, arms: Arms, after: Reading, *, now: float) -> Reading | None:
        """Read the counts; no rows means no traffic, not missing data."""
        until = now - self.settle_seconds
        if after.until >= until:
            return after
        if not after.until:
            return replace(after, until=until)
        versions = arms.named()
        since, recent_since = after.recent_since or after.until, until - self.late_seconds
        measures = self._measures(max(since, recent_since))
        found = self._counts(self.columns.time, measures, versions, (since, until))
        answered, recent = _fresh(found, after.recent)
        labelled = {}
        if self.columns.labelled_at:
            labelled = self._counts(self.columns.labelled_at, self._quality(), versions, (after.until, until))
        grown = _grown(after, until, answered, labelled, self.columns)
        return replace(grown, recent=recent, recent_since=max(since, recent_since))

    def _measures(self, recent_since: float) -> dict[str, sa.ColumnElement[Any]]:
        """Return what is counted, by name, and each once more of the rows after a moment."""
        at: sa.ColumnElement[float] = sa.column(self.columns.time)
        found = self._measured()
        return found | {_RECENT + name: sa.and_(holds, at > recent_since) for name, holds in found.items()}

    def _measured(self) -> dict[str, sa.ColumnElement[Any]]:
        known = self.columns
        status: sa.ColumnElement[Any] = sa.column(known.status)
        found: dict[str, sa.ColumnElement[Any]] = {
            "requests": sa.true(),
            "errors": sa.or_(status >= _LEAST_ERROR, status < _LEAST_STATUS, status.is_(None)),
            "refused": sa.and_(status >= _LEAST_REFUSAL, status < _LEAST_ERROR),
        }
        if known.seconds is not None:
            found |= {
                "timed": sa.column(known.seconds).is_not(None),
                "slow": sa.column(known.seconds) > known.slow_seconds,
            }
        if known.prediction is not None and known.edges:
            value: sa.ColumnElement[float] = sa.column(known.prediction)
            found["bin_0"] = value < known.edges[0]
            found[f"bin_{len(known.edges) + 1}"] = self._empty()
            for index, (low, high) in enumerate(pairwise(known.edges), start=1):
                found[f"bin_{index}"] = sa.and_(value >= low, value < high)
            found[f"bin_{len(known.edges)}"] = sa.and_(value >= known.edges[-1], ~_is_nan(value))
        return found

    def _quality(self) -> dict[str, sa.ColumnElement[Any]]:
        label: sa.ColumnElement[Any] = sa.column(self.columns.label or "")
        value: sa.ColumnElement[Any] = sa.column(self.columns.prediction or "")
        wrong = sa.or_(sa.func.round(value) != label, self._empty())
        known = sa.and_(label.is_not(None), sa.or_(value.is_not(None), self._empty()))
        return {"labelled": known, "wrong": sa.and_(label.is_not(None), wrong)}

    def _empty(self) -> sa.ColumnElement[bool]:
        """Whether an answer below 400 holds no number: null, or NaN where the database has it."""
        status: sa.ColumnElement[Any] = sa.column(self.columns.status)
        value: sa.ColumnElement[Any] = sa.column(self.columns.prediction or "")
        return sa.and_(
            status >= _LEAST_STATUS, status < _LEAST_REFUSAL, sa.or_(value.is_(None), _is_nan(value))
        )

    def _counts(
        self,
        time: str,
        measures: dict[str, sa.ColumnElement[Any]],
        versions: dict[str, str],
        window: tuple[float, float],
    ) -> dict[str, dict[str, int]]:
        """Count rows of ``(since, until]`` per arm."""
        at: sa.ColumnElement[float] = sa.column(time)
        version: sa.ColumnElement[str] = sa.column(self.columns.version)
        counted = [sa.func.sum(sa.case((holds, 1), else_=0)).label(name) for name, holds in measures.items()]
        query = (
            sa.select(version.label("version"), *counted)
            .select_from(_table(self.columns.table))
            .where(at > window[0], at <= window[1], version.in_(list(versions.values())))
            .group_by(version)
        )
        rows = {str(row["version"]): row for row in self._rows(query)}
        return {
            arm: {name: int(rows[name_of][name] or 0) for name in measures} if name_of in rows else _NO_ROWS
            for arm, name_of in versions.items()
        }

    def _rows(self, query: sa.Executable) -> list[Any]:
        try:
            with self.engine.connect() as connection:
                return list(connection.execute(query).mappings())
        except SQLAlchemyError as error:
            said = str(error.orig if isinstance(error, DBAPIError) else error).splitlines()[0]
            msg = f"inference table {self.columns.table}: {said}"
            missing = "no such" in said
            if isinstance(error, OperationalError | InterfaceError) and not missing:
                raise ServiceUnavailableError(msg) from error
            raise InvalidConfigError(msg) from error


def _fresh(
    found: dict[str, dict[str, int]], before: dict[str, int]
) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    """Return what is not among the counts from before, and the recent counts for the next reading."""
    fresh = {
        arm: {
            name: max(0, count - before.get(f"{arm}_{name}", 0))
            for name, count in counts.items()
            if not name.startswith(_RECENT)
        }
        for arm, counts in found.items()
    }
    recent = {
        f"{arm}_{name.removeprefix(_RECENT)}": count
        for arm, counts in found.items()
        for name, count in counts.items()
        if name.startswith(_RECENT)
    }
    return fresh, recent


def _is_nan(value: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Whether a number is NaN; as text, because databases do not agree how NaN compares."""
    return sa.func.lower(sa.cast(sa.func.coalesce(value, 0), sa.String(40))) == "nan"


def _table(name: str) -> sa.TableClause:
    schema, _, table = name.rpartition(".")
    return sa.table(table, schema=schema or None)


def _grown(
    after: Reading,
    until: float,
    answered: dict[str, dict[str, int]],
    labelled: dict[str, dict[str, int]],
    columns: InferenceTable,
) -> Reading:
    added = {
        f"{arm}_{name}": getattr(after, f"{arm}_{name}") + answered.get(arm, {}).get(name, 0)
        for arm in ARMS
        for name in ("requests", "errors")
    }
    refused = _added(after.client_errors, answered, "requests", "refused")
    latency = _added(after.latency, answered, "timed", "slow") if columns.seconds else after.latency
    quality = _added(after.quality, labelled, "labelled", "wrong") if columns.labelled_at else after.quality
    bins = _bins(after.predictions, answered, len(columns.edges)) if columns.edges else after.predictions
    return replace(
        after,
        until=until,
        client_errors=refused,
        latency=latency,
        quality=quality,
        predictions=bins,
        **added,
    )


def _added(before: ArmCounts | None, counts: dict[str, dict[str, int]], asked: str, bad: str) -> ArmCounts:
    return ArmCounts(
        **{
            f"{arm}_{kind}": (getattr(before, f"{arm}_{kind}") if before else 0)
            + counts.get(arm, {}).get(name, 0)
            for arm in ARMS
            for kind, name in (("requests", asked), ("errors", bad))
        }
    )


def _bins(before: BinCounts | None, counts: dict[str, dict[str, int]], edges: int) -> BinCounts:
    def grown(arm: str) -> tuple[int, ...]:
        old = getattr(before, arm) if before else (0,) * (edges + 2)
        return tuple(o + counts.get(arm, {}).get(f"bin_{i}", 0) for i, o in enumerate(old))

    return BinCounts(canary=grown("canary"), stable=grown("stable"))
