"""Worlds in which comparisons are easily wrong; `make bench-decisions` repeats them more often."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[4] / "benchmarks"))
from decisions import ALPHA, CELLS, GOOD, rates

pytestmark = pytest.mark.slow
REPETITIONS = 100


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_false_claim_is_made_at_most_alpha_of_the_time(cell):
    repetitions = 25 if "ruined" in cell.name else REPETITIONS
    rate, _ = rates(cell, repetitions, resamples=200, plain=False)
    assert rate <= stats.binom.ppf(0.99, repetitions, ALPHA) / repetitions


@pytest.mark.parametrize("cell", GOOD, ids=lambda cell: cell.name)
def test_equal_challenger_passes_in_three_of_four_cases(cell):
    rate, _ = rates(cell, 50, resamples=200, plain=False)
    assert rate >= stats.binom.ppf(0.01, 50, cell.bar) / 50


def test_plain_rule_lets_rare_total_failures_pass():
    ours, plain = rates(CELLS[0], 60)
    assert ours == 0
    assert plain > 0.4
