"""SkewReport: all tests of a window, the distributions behind them, and the verdict they give."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_mlops.core.data.profile.column import Kind
from airflow_mlops.core.data.skew.policy import Role
from airflow_mlops.core.record import Record
from airflow_mlops.core.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectSize(Record):
    """A distance or a rise, and how sure one can be of it.

    :param value: as measured.
    :param corrected: the value less what chance adds, 0 at least.
    :param lower: lower confidence bound, of a rise below 0 if it may be a fall; ``upper`` the upper one.
    :param p_value: chance of such a value without any change.
    """

    name: str
    value: float
    corrected: float
    lower: float
    upper: float
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewTest(Record):
    """One test of one column.

    :param source: where the threshold comes from: ``default``, ``configured``, ``calibrated on 12 blocks``.
    :param adjusted_p: p-value after Benjamini-Hochberg.
    :param sentence: what a person needs to know.
    :param details: other distances of the same column, for reading only.
    """

    column: str
    effect: EffectSize
    threshold: float
    adjusted_p: float
    skewed: bool
    sentence: str
    source: str = "default"
    role: Role = Role.FEATURE
    details: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution(Record):
    """Both distributions of a column, to be plotted; at most 64 cells.

    :param edges: borders of the cells of a numeric column, one fewer than cells; datetimes: epoch seconds.
    :param names: categories, the most frequent first, at last ``all others``; empty for a numeric column.
    :param reference: shares of the values that are not missing; ``current`` alike.
    """

    column: str
    kind: Kind
    edges: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    reference: tuple[float, ...] = ()
    current: tuple[float, ...] = ()
    reference_null_share: float = 0.0
    current_null_share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance(Record):
    """How much worse windows are told apart when a column is shuffled."""

    column: str
    auc_drop: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MultivariateResult(Record):
    """Whether a classifier can tell the two windows apart by all columns together.

    :param auc: out-of-fold area under the ROC curve, 0.5 for no difference.
    :param lower: lower confidence bound of it.
    :param p_value: by permuting which window the held-out rows belong to.
    :param threshold: area that is allowed.
    :param reference_rows: rows sampled of the reference; ``current_rows`` alike.
    :param columns: columns that tell the windows apart, strongest first.
    """

    auc: float
    lower: float
    p_value: float
    threshold: float
    reference_rows: int
    current_rows: int
    skewed: bool
    sentence: str
    columns: tuple[Importance, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewReport(Record):
    """All tests of a window, strongest first, and the verdict they give.

    :param tests: skewed ones first, then by how near they are to their threshold.
    :param not_compared: columns that are not in both windows with the same cells.
    :param distributions: of the strongest columns, in the order of the tests.
    :param distributions_left_out: columns whose distributions are not kept.
    :param notes: what a reader must know about thresholds and samples.
    """

    verdict: Verdict
    tests: tuple[SkewTest, ...]
    reference_rows: int
    current_rows: int
    not_compared: tuple[str, ...] = ()
    distributions: tuple[Distribution, ...] = ()
    distributions_left_out: int = 0
    notes: tuple[str, ...] = ()
    multivariate: MultivariateResult | None = None

    @property
    def skewed_columns(self) -> tuple[str, ...]:
        """Columns with a test that found skew, strongest first."""
        return tuple(dict.fromkeys(test.column for test in self.tests if test.skewed))
