"""Policies of the security heuristics; loads no arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.record import Record
from airflow_mlops.core.verdict import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class PoisoningPolicy(Record):
    """Limits for signs of label poisoning in the training rows.

    :param conflicts: allowed share of exact duplicates whose label is not their group's usual one.
    :param flips: allowed share of rows whose label contradicts nearly all near duplicates.
    :param columns: columns whose values should have similar label rates, e.g. the annotator.
    :param alpha: false discovery rate among the values of a column.
    :param outcome: where a sign is found: ``warn`` or ``fail``.
    """

    conflicts: float = 0.01
    flips: float = 0.01
    columns: tuple[str, ...] = ()
    alpha: float = 0.01
    outcome: Outcome = Outcome.WARN

    def __post_init__(self) -> None:
        """Refuse limits outside their range."""
        for name, is_meant, allowed in (
            ("conflicts", 0 <= self.conflicts < 1, "0 or more, below 1"),
            ("flips", 0 <= self.flips < 1, "0 or more, below 1"),
            ("alpha", 0 < self.alpha <= 0.5, "above 0 up to 0.5"),
        ):
            if not is_meant:
                msg = f"validate.poisoning.{name}: {getattr(self, name)}, allowed: {allowed}"
                raise InvalidConfigError(msg)
        if self.outcome not in (Outcome.WARN, Outcome.FAIL):
            msg = f"validate.poisoning.outcome: {self.outcome}, allowed: warn, fail"
            raise InvalidConfigError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionPolicy(Record):
    """Limits for signs of model extraction: copying a model by querying it.

    :param client: logged column that identifies the client.
    :param per_hour: requests of one client in one clock hour above which it is always reported.
    :param times_usual: a lower limit: this many times the median client's busiest hour,
    :param at_least: but no fewer requests than this.
    """

    client: str
    per_hour: int = 10_000
    times_usual: float = 20.0
    at_least: int = 1_000
    outcome: Outcome = Outcome.WARN

    def __post_init__(self) -> None:
        """Refuse limits outside their range."""
        if self.per_hour < 1 or self.times_usual < 1 or self.at_least < 1:
            msg = (
                f"extraction: per_hour {self.per_hour}, times_usual {self.times_usual}, at_least "
                f"{self.at_least}; allowed: 1 or more each"
            )
            raise InvalidConfigError(msg)
