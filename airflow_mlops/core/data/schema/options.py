"""Options of inference: how much room a proposed schema leaves."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_mlops.core.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceOptions(Record):
    """Slack of proposed rules around the observed values.

    :param row_slack: factor by which a window's rows may be fewer than in the smallest or more than in the
        largest window.
    :param null_slack: allowed share of missing values, 0 to 1; more where chance or the reference needs it.
    :param range_slack: how far numbers may lie outside the observed range, as a multiple of its width.
    :param range_mostly: share of values that must be in that range, 0 to 1.
    :param length_slack: factor by which text may be shorter or longer.
    :param days_slack: days allowed before the first and after the last observed moment or year; detects
        placeholders such as 1970 and 9999, not the passing of time.
    :param largest_domain: most distinct texts for which a set of allowed values is proposed; twice as many
        where several windows were seen.
    :param domain_mostly: share of values that must be in that set, 0 to 1; less where chance needs it.
    :param least_unique_rows: fewest values for which uniqueness is proposed.
    """

    row_slack: int = 10
    null_slack: float = 0.05
    range_slack: float = 5.0
    range_mostly: float = 0.99
    length_slack: float = 2.0
    days_slack: int = 3653
    largest_domain: int = 30
    domain_mostly: float = 0.95
    least_unique_rows: int = 100
