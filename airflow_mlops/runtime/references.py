"""Reference of a skew check: the partitions a rule selects, with their stored profiles merged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.data.reference import Reference, add_up, choose, read_reference, shortfall
from airflow_mlops.core.verdict import Finding, Outcome
from airflow_mlops.runtime.profiles import broken_partitions, champion_window, profiled_partitions

if TYPE_CHECKING:
    from airflow_mlops.backends.registry.protocol import ModelRegistry
    from airflow_mlops.core.data.profile.profile import Profile  # noqa: TC004 - at run time it would load numpy while DAGs are parsed
    from airflow_mlops.core.data.window import Window
    from airflow_mlops.runtime.profiles import StoredProfiles


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundReference:
    """A reference, or the reason why there is none.

    :param blocks: the merged profiles, one a partition.
    :param left_out: reason of each selected partition that is not included, by key.
    """

    rule: str
    profile: Profile | None
    blocks: tuple[Profile, ...] = ()
    partitions: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    reason: str = ""

    @classmethod
    def given(cls, partitions: tuple[str, ...], profile: Profile) -> FoundReference:
        """Return a reference that the author passed."""
        return cls(rule="profile", profile=profile, partitions=partitions)

    def missing(self) -> Finding:
        """Return the finding that there is no reference."""
        return Finding(check="reference", subject=self.rule, outcome=Outcome.INCONCLUSIVE, reason=self.reason)

    def described(self) -> dict[str, Any]:
        """Return the reference's description for the report."""
        return {"rule": self.rule, "partitions": list(self.partitions), "left_out": self.left_out}


def find_reference(
    profiles: StoredProfiles, registry: ModelRegistry, wanted: Any, window: Window, current: Profile
) -> FoundReference:
    """Select partitions by the rule and merge their stored profiles.

    :param wanted: input of :func:`~airflow_mlops.core.data.reference.read_reference`, or ``None``.
    :param current: the window's profile, whose bins the reference must have.
    :raises InvalidConfigError: an unknown rule, or one that does not suit the window's key.
    """
    reference = Reference() if wanted is None else read_reference(wanted)
    source = champion_window(registry, profiles.model) if reference.is_training else window
    if source is None:
        reason = "no champion yet: nothing to compare with"
        return FoundReference(rule=str(reference.rule), profile=None, reason=reason)
    if reference.is_training and not source.partitions:
        return _whole(profiles, source)
    broken = broken_partitions(profiles.store, profiles.model)
    known = source.partitions
    if not reference.is_training:
        known = tuple(profiled_partitions(profiles.store, profiles.model, window.uri))
    chosen = choose(known, window.partitions[0] if window.partitions else "", reference, broken)
    blocks, left_out = profiles.gathered(source.uri, chosen, current)
    used = tuple(key for key in chosen if key not in left_out)
    left_out |= dict.fromkeys(sorted({*reference.partitions} & broken), "did not meet its schema")
    reason = _because(shortfall(reference, used), left_out)
    return FoundReference(
        rule=str(reference.rule),
        profile=None if reason or not blocks else add_up(blocks),
        blocks=tuple(blocks),
        partitions=used,
        left_out=left_out,
        reason=reason,
    )


def _whole(profiles: StoredProfiles, window: Window) -> FoundReference:
    """Return the profile of a champion's window that had no partitions."""
    profile = profiles.whole(window)
    reason = "" if profile else f"the champion's training window {window.uri} has no stored profile"
    return FoundReference(rule="training", profile=profile, reason=reason)


def _because(reason: str, left_out: dict[str, str]) -> str:
    why = "; ".join(f"{key}: {text}" for key, text in left_out.items())
    return f"{reason} ({why})" if reason and why else reason
