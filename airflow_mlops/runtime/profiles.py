"""Stored profiles: look up by partition and merge into references; only missing partitions are read again."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_mlops.backends.evidence.protocol import EvidenceKey, EvidenceStore
from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS
from airflow_mlops.core.data.dataset_uri import same_dataset
from airflow_mlops.core.data.reference import add_up
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.errors import InvalidDataError, InvalidRecordError
from airflow_mlops.hooks.storage import filesystem_of, is_table
from airflow_mlops.runtime.ends import run_state
from airflow_mlops.runtime.paths import PROFILE_PATH

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_mlops.backends.registry.protocol import ModelRegistry
    from airflow_mlops.core.data.profile.profile import Profile
    from airflow_mlops.core.verdict import Verdict

_logger = logging.getLogger(__name__)

_DATA_PROFILE = {"mlops.profile": "data"}
_VALID_TAG, _PARTITION_TAG, _PARTS_TAG, _URI_TAG = (
    f"mlops.profile.{name}" for name in ("valid", "partition", "partitions", "uri")
)
_DIGEST_TAG = "mlops.digest"
PROFILED_DIGEST = "mlops.profile.digest"
"""Tag of an evidence run: digest of the profiled partition; the window trained on may have more."""
_ANNOUNCEMENT = {"mlops.data": "announced"}
_ANNOUNCED, _ANNOUNCED_BY = "mlops.announced", "mlops.announced.by"
_VALID, _BROKEN = {_VALID_TAG: "true"}, {_VALID_TAG: "false"}
_NEWEST_RUNS = 5


def data_profile_tags(window: Window) -> dict[str, str]:
    """Return the tags by which a data profile is looked up."""
    return {
        **_DATA_PROFILE,
        _PARTITION_TAG: window.label,
        _PARTS_TAG: str(len(window.partitions)),
        _URI_TAG: window.uri,
        _DIGEST_TAG: window.digest,
        PROFILED_DIGEST: window.digest,
    }


def schema_tags(verdict: Verdict) -> dict[str, str]:
    """Return the tags that record whether a profiled window met its schema."""
    return {"mlops.schema": str(verdict.outcome), _VALID_TAG: str(verdict.outcome.is_accepted).lower()}


def newest_cells(store: EvidenceStore, model: str) -> Profile | None:
    """Return the newest profile of a window that did not fail its schema; later windows use its bins."""
    for run, tags in store.search(model, {**_DATA_PROFILE, **_VALID}, limit=1) or store.search(
        model, _DATA_PROFILE, limit=_NEWEST_RUNS
    ):
        if tags.get(_VALID_TAG) != "false" and (profile := _load(store, run)) is not None:
            return profile
    return None


def broken_partitions(store: EvidenceStore, model: str) -> set[str]:
    """Return partitions whose newest check against the schema failed."""
    failed = {tags[_PARTITION_TAG] for _, tags in store.search(model, {**_DATA_PROFILE, **_BROKEN})}
    return {key for key in failed if not _is_mended(store, model, key)}


def profiled_partitions(store: EvidenceStore, model: str, uri: str) -> set[str]:
    """Return the keys of a dataset's partitions that have a stored profile."""
    return {
        tags[_PARTITION_TAG]
        for _, tags in store.search(model, _DATA_PROFILE)
        if tags.get(_PARTS_TAG, "1") == "1" and _is_of(tags, uri)
    }


def mark_announced(store: EvidenceStore, run: EvidenceKey, uri: str, newest: str) -> None:
    """Record up to which partition a DAG run announced a dataset.

    Airflow's own record of events gives an error while a run that an event made is queued (3.3.2).
    """
    tags = {**_ANNOUNCEMENT, _ANNOUNCED: newest, _ANNOUNCED_BY: _holder(run), _URI_TAG: uri}
    store.close(store.open(replace(run, run_id=f"{run.run_id} announced"), tags), succeeded=True)


def newest_announced(store: EvidenceStore, model: str, uri: str, mine: EvidenceKey) -> str:
    """Return the newest partition that was announced and did not break its schema; empty if there is none.

    What a failed DAG run, or an earlier try of this one, announced may never have arrived: it does not count.
    """
    broken = broken_partitions(store, model)
    marks = [tags for _, tags in store.search(model, _ANNOUNCEMENT) if _is_of(tags, uri)]
    for tags in sorted(marks, key=lambda one: one[_ANNOUNCED], reverse=True):
        by = tags[_ANNOUNCED_BY]
        if tags[_ANNOUNCED] not in broken and by != _holder(mine) and run_state(by) != "failed":
            return tags[_ANNOUNCED]
    return ""


def _holder(run: EvidenceKey) -> str:
    return f"{run.dag_id}/{run.run_id}"


def champion_window(registry: ModelRegistry, model: str) -> Window | None:
    """Return the window the champion was trained on; ``None`` at a cold start."""
    champion = registry.alias(model, CHAMPION_ALIAS)
    if champion is None:
        return None
    tags = registry.version(model, champion).tags
    keys = tuple(json.loads(tags["mlops.partitions"]))
    return Window(uri=tags["mlops.uri"], partitions=keys, digest=tags.get(_DIGEST_TAG, ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredProfiles:
    """A model's stored profiles, merged into references.

    :param run: the DAG run that asks; a partition without a profile is read once and stored beside it.
    """

    store: EvidenceStore
    model: str
    run: EvidenceKey

    def gathered(
        self, uri: str, partitions: Collection[str], cells: Profile | None
    ) -> tuple[list[Profile], dict[str, str]]:
        """Return the newest profiles of partitions, counted in the same bins.

        :param cells: profile whose bins they must have, to be compared with it.
        :return: the profiles; and the reason of each partition left out, by key.
        """
        found: list[Profile] = []
        left_out = {}
        for key in partitions:
            wanted = _cells_of(cells, *found[:1])
            try:
                found.append(self._stored(uri, key, wanted) or self._read(uri, key, wanted))
            except InvalidDataError as error:
                left_out[key] = str(error)
        return found, left_out

    def champion(self, registry: ModelRegistry, cells: Profile | None) -> Profile | None:
        """Return the profile of the champion's training window; ``None`` at a cold start."""
        window = champion_window(registry, self.model)
        if window is None:
            return None
        if not window.partitions:
            return self.whole(window)
        found, _ = self.gathered(window.uri, window.partitions, cells)
        return add_up(found) if found else None

    def whole(self, window: Window) -> Profile | None:
        """Return the stored profile of a window without partitions; the data may have changed since."""
        found = self.store.search(self.model, {**_DATA_PROFILE, _DIGEST_TAG: window.digest}, limit=1)
        return _load(self.store, found[0][0]) if found else None

    def _stored(self, uri: str, key: str, cells: Profile | None) -> Profile | None:
        """Return the newest profile of a partition if it is counted in these bins."""
        for run, tags in self.store.search(
            self.model, {**_DATA_PROFILE, _PARTITION_TAG: key}, limit=_NEWEST_RUNS
        ):
            profile = _load(self.store, run) if _is_of(tags, uri) else None
            if profile is not None and (cells is None or not _counted_otherwise(profile, cells)):
                return profile
            if profile is not None and _VALID_TAG in tags:
                return None
        return None

    def _read(self, uri: str, key: str, cells: Profile | None) -> Profile:
        from airflow_mlops.backends.profiling.files.arrow import profile_files

        if is_table(uri):
            msg = f"{uri}: partition {key} has no stored profile with these bins; profile it"
            raise InvalidDataError(msg)
        _logger.info("partition %s has no stored profile with these bins: reading it once", key)
        window, profile = profile_files(uri, [key], bins_from=cells, filesystem=filesystem_of(uri))
        kept = replace(self.run, run_id=f"{self.run.run_id} reference {key}")
        run = self.store.open(kept, data_profile_tags(window))
        self.store.write_json(run, PROFILE_PATH, profile.to_json())
        self.store.close(run, succeeded=True)
        return profile


def _is_mended(store: EvidenceStore, model: str, key: str) -> bool:
    """Return whether the newest check of a partition passed."""
    checked = (
        tags[_VALID_TAG]
        for _, tags in store.search(model, {**_DATA_PROFILE, _PARTITION_TAG: key}, limit=_NEWEST_RUNS)
        if _VALID_TAG in tags
    )
    return next(checked, "false") == "true"


def _is_of(tags: dict[str, str], uri: str) -> bool:
    """Say whether a profile is of this dataset, read the same way; of a table at any version."""
    return same_dataset(tags.get(_URI_TAG, uri), uri)


def _load(store: EvidenceStore, run: str) -> Profile | None:
    """Return a run's profile; ``None`` if it has none that this release can read."""
    from airflow_mlops.core.data.profile.profile import Profile

    try:
        return Profile.from_json(store.read_json(run, PROFILE_PATH))
    except InvalidRecordError as error:
        _logger.warning("stored profile ignored: %s", error)
        return None


def _cells_of(*profiles: Profile | None) -> Profile | None:
    """Return the bins of all columns of all profiles; the first profile that has a column decides."""
    known = {c.name: c for profile in reversed(profiles) if profile is not None for c in profile.columns}
    first = next((profile for profile in profiles if profile is not None), None)
    return replace(first, columns=tuple(known.values())) if first is not None else None


def _counted_otherwise(profile: Profile, cells: Profile) -> bool:
    """Return whether a column has the same kind but other bins: reading it again makes it comparable."""
    pairs = [(column, cells.column(column.name)) for column in profile.columns]
    return any(
        not mine.fits(theirs) and mine.kind.is_like(theirs.kind)
        for mine, theirs in pairs
        if theirs is not None
    )
