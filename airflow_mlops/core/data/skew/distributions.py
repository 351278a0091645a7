"""Both distributions of a column, small enough to be kept in a report and plotted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.core.data.skew.report import Distribution

if TYPE_CHECKING:
    from airflow_mlops.core.data.profile.column import Column
    from airflow_mlops.core.data.profile.profile import Profile

_MAX_BINS = 64
_MAX_CATEGORIES = 20
OTHER_VALUES = "all others"


def distribution(reference: Profile, current: Profile, name: str) -> Distribution | None:
    """Return the shares per cell of a column that both profiles have."""
    before, now = reference.column(name), current.column(name)
    if before is None or now is None:
        return None
    edges, names, counts = _numeric(before, now) if before.edges or now.edges else _named(before, now)
    shares = [tuple(count / max(1, sum(side)) for count in side) for side in counts]
    return Distribution(
        column=name,
        kind=before.kind if before.present else now.kind,
        edges=edges,
        names=names,
        reference=shares[0],
        current=shares[1],
        reference_null_share=before.null_share(reference.rows),
        current_null_share=now.null_share(current.rows),
    )


_BinnedShares = tuple[tuple[float, ...], tuple[str, ...], tuple[list[int], list[int]]]


def _numeric(before: Column, now: Column) -> _BinnedShares:
    leading = before if before.present else now
    edges = list(leading.edges)
    one, other = ([*(c.counts if c.present else [0] * len(leading.counts))] for c in (before, now))
    while len(one) > _MAX_BINS:
        first = min(range(len(one) - 1), key=lambda i: one[i] + one[i + 1] + other[i] + other[i + 1])
        del edges[first]
        for counts in (one, other):
            counts[first : first + 2] = [counts[first] + counts[first + 1]]
    return tuple(edges), (), (one, other)


def _named(before: Column, now: Column) -> _BinnedShares:
    sides = (before.named, now.named)
    totals = [max(1, column.present) for column in (before, now)]
    share = {
        name: max(side.get(name, 0) / total for side, total in zip(sides, totals, strict=True))
        for name in {**sides[0], **sides[1]}
    }
    names = sorted(share, key=lambda name: (-share[name], name))[:_MAX_CATEGORIES]
    kept = [[side.get(name, 0) for name in names] for side in sides]
    rest = [column.present - sum(side) for column, side in zip((before, now), kept, strict=True)]
    if any(rest):
        return (), (*names, OTHER_VALUES), ([*kept[0], rest[0]], [*kept[1], rest[1]])
    return (), tuple(names), (kept[0], kept[1])
