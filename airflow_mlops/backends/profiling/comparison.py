"""Two datasets compared for skew: profiled, calibrated and told apart as far as wanted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_mlops.backends.profiling.files.arrow import profile_window
from airflow_mlops.backends.profiling.files.dataset import list_partitions, read_window
from airflow_mlops.backends.text_file import read_utf8
from airflow_mlops.core.data.reference import add_up
from airflow_mlops.core.data.skew.calibration import calibrate
from airflow_mlops.core.data.skew.compare import compare_profiles, with_multivariate
from airflow_mlops.core.data.skew.policy import SkewPolicy, policy_from_yaml
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.errors import NoRowsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_mlops.core.data.profile.profile import Profile
    from airflow_mlops.core.data.skew.report import SkewReport


def compare_windows(
    reference: Window,
    current: Window,
    policy: SkewPolicy | None = None,
    *,
    by_blocks: bool = False,
    multivariate: bool = False,
    on_bytes: Callable[[float], object] | None = None,
) -> SkewReport:
    """Profile both windows in the same bins and test every column.

    :param by_blocks: take thresholds from the reference's partitions as blocks of quiet history.
    :param multivariate: also try to tell samples of both apart by all columns together; reads rows.
    :param on_bytes: called with the bytes got through, see ``profile_window``.
    """
    policy = policy or SkewPolicy()
    blocks = _blocks(reference, on_bytes) if by_blocks else [profile_window(reference, on_bytes=on_bytes)]
    calibration = calibrate(blocks, policy=policy) if by_blocks else None
    known = add_up(blocks)
    profiled = profile_window(current, bins_from=known, on_bytes=on_bytes)
    report = compare_profiles(known, profiled, policy, calibration)
    report = replace(report, notes=(*report.notes, *_how_read(known, profiled)))
    if not multivariate:
        return report
    from airflow_mlops.backends.profiling.domain_classifier import tell_windows_apart

    rows = (read_window(reference), read_window(current))
    keys = filter(None, (known.partition_column, profiled.partition_column))
    ignored = (*policy.ignore, *keys)
    return with_multivariate(report, tell_windows_apart(*rows, ignore=ignored, alpha=policy.alpha))


def _how_read(reference: Profile, current: Profile) -> tuple[str, ...]:
    """Tell how both windows were read; once if it was in the same way."""
    if reference.notes == current.notes:
        return current.notes
    sides = {"reference": reference.notes, "current": current.notes}
    return tuple(f"{side}: {note}" for side, notes in sides.items() for note in notes)


def read_policy(path: str) -> SkewPolicy:
    """Read a policy's YAML file.

    :raises InvalidConfigError: no such file, or what is not understood in it.
    """
    return policy_from_yaml(read_utf8(path), path)


def _blocks(reference: Window, on_bytes: Callable[[float], object] | None) -> list[Profile]:
    """Profile each partition, texts in the bins of those before."""
    keys = reference.partitions or tuple(list_partitions(reference.uri))
    if not keys:
        return [profile_window(reference, on_bytes=on_bytes)]
    blocks: list[Profile] = []
    empty: list[str] = []
    for key in keys:
        window = Window(uri=reference.uri, partitions=(key,))
        known = add_up(blocks) if blocks else None
        try:
            blocks.append(profile_window(window, bins_from=known, on_bytes=on_bytes))
        except NoRowsError:
            empty.append(f"partition {key}")
    if not blocks:
        msg = f"{reference.uri}: no rows in {', '.join(empty)}"
        raise NoRowsError(msg)
    return [replace(blocks[0], empty=tuple(empty)), *blocks[1:]]
