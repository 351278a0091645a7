"""The table of cases names tests that exist."""

from __future__ import annotations

from pathlib import Path

import pytest
from cases.known import CASES

TESTS = [test for cases in CASES.values() for case in cases for test in case.tests]
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("test", TESTS)
def test_test_of_a_case_is_there(test):
    file, _, function = test.partition("::")
    assert f"def {function}(" in (ROOT / file).read_text(encoding="utf-8")
