"""Stored profiles: found by partition, merged to references; only what was never profiled is read again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_mlops.backends.registry.protocol import CHAMPION
from airflow_mlops.core.outcome import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.backends.evidence.protocol import EvidenceStore
    from airflow_mlops.backends.registry.protocol import ModelRegistry
    from airflow_mlops.core.data.profile import Profile
    from airflow_mlops.core.data.window import Window

DATA_PROFILE = {"mlops.profile": "data"}
VALID = {"mlops.profile.valid": "true"}
ACCEPTED = (Outcome.PASS, Outcome.WARN)


def data_profile_tags(window: Window) -> dict[str, str]:
    """Return the tags a data profile is found by."""
    return {**DATA_PROFILE, "mlops.profile.partition": window.label, "mlops.digest": window.digest}


def schema_tags(verdict: Verdict) -> dict[str, str]:
    """Return the tags that say whether a profiled window met its schema."""
    valid = str(verdict.outcome in ACCEPTED).lower()
    return {"mlops.schema": str(verdict.outcome), "mlops.profile.valid": valid}


def newest_cells(store: EvidenceStore, model: str) -> Profile | None:
    """Return the newest profile of a window that did not break its schema; later ones share its cells."""
    for run in store.find(model, {**DATA_PROFILE, **VALID}, limit=1) or store.find(model, DATA_PROFILE):
        if store.tags(run).get("mlops.profile.valid") != "false":
            return _load(store, run)
    return None


def broken_partitions(store: EvidenceStore, model: str) -> set[str]:
    """Return partitions whose newest profile did not meet the schema."""
    broken = set()
    for run in store.find(model, {**DATA_PROFILE, "mlops.profile.valid": "false"}):
        key = store.tags(run)["mlops.profile.partition"]
        if not store.find(model, {**DATA_PROFILE, **VALID, "mlops.profile.partition": key}, limit=1):
            broken.add(key)
    return broken


def reference_profile(
    store: EvidenceStore, model: str, uri: str, partitions: Sequence[str], cells: Profile | None
) -> Profile:
    """Merge the newest stored profile of each partition; scan one that has none, or none with these cells.

    :param cells: profile whose cells the reference must have, to be compared with it.
    """
    from airflow_mlops.core.data.profile import merge

    found: list[Profile] = []
    for key in partitions:
        wanted = _cells_of(cells, *found[:1])
        profile = _stored(store, model, key)
        if profile is None or (wanted is not None and not _same_cells(profile, wanted)):
            profile = _scan(uri, key, wanted)
        found.append(profile)
    return merge(*found)


def champion_profile(
    store: EvidenceStore, registry: ModelRegistry, model: str, cells: Profile | None
) -> Profile | None:
    """Return the profile of the champion's training window; ``None`` at a cold start."""
    champion = registry.alias(model, CHAMPION)
    if champion is None:
        return None
    tags = registry.version(model, champion).tags
    return reference_profile(store, model, tags["mlops.uri"], json.loads(tags["mlops.partitions"]), cells)


def _stored(store: EvidenceStore, model: str, key: str) -> Profile | None:
    for run in store.find(model, {**DATA_PROFILE, "mlops.profile.partition": key}, limit=1):
        return _load(store, run)
    return None


def _load(store: EvidenceStore, run: str) -> Profile:
    from airflow_mlops.core.data.profile import Profile

    return Profile.from_json(store.read_json(run, "profile.json"))


def _scan(uri: str, key: str, cells: Profile | None) -> Profile:
    from airflow_mlops.backends.profiling.arrow import profile_window
    from airflow_mlops.backends.profiling.dataset import describe_window

    return profile_window(describe_window(uri, [key]), cells_from=cells)


def _cells_of(*profiles: Profile | None) -> Profile | None:
    """Return the cells of every column any profile knows, the first one's where several do."""
    known = {c.name: c for profile in reversed(profiles) if profile is not None for c in profile.columns}
    first = next((profile for profile in profiles if profile is not None), None)
    return replace(first, columns=tuple(known.values())) if first is not None else None


def _same_cells(one: Profile, other: Profile) -> bool:
    """Say whether the columns both profiles have are counted in the same cells."""
    pairs = [(column, other.column(column.name)) for column in one.columns]
    return all(
        mine.edges == theirs.edges and set(mine.categories or ()) == set(theirs.categories or ())
        for mine, theirs in pairs
        if theirs is not None
    )
