"""Prints one line a case: its right answer, and whether its tests hold it; exits 1 if one does not."""

from __future__ import annotations

import sys
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest
from cases.known import CASES

if TYPE_CHECKING:
    from cases.known import Case


class Outcomes:
    """Collects what became of each test, by file and function."""

    def __init__(self) -> None:
        self.passed: dict[str, list[bool]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the outcome of a test's call, and of what failed before it."""
        if report.when == "call" or not report.passed:
            self.passed[report.nodeid.partition("[")[0]].append(report.passed)

    def line(self, kind: str, case: Case) -> tuple[str, bool]:
        """Return a case's line, and whether every one of its tests ran and passed."""
        ran = [self.passed.get(test, []) for test in case.tests]
        right = all(each and all(each) for each in ran)
        count = sum(map(len, ran))
        said = "right" if right else "WRONG" if all(ran) else "NOT RUN"
        return f"{said:8} {kind:9} {case.name}: {case.answer} ({count} tests)", right


def main() -> int:
    """Run the tests of all cases once."""
    tests = dict.fromkeys(test for cases in CASES.values() for case in cases for test in case.tests)
    outcomes = Outcomes()
    pytest.main(["--quiet", "--no-header", "--no-summary", "-p", "no:warnings", *tests], plugins=[outcomes])
    lines = [outcomes.line(kind, case) for kind, cases in CASES.items() for case in cases]
    print("\n".join(line for line, _ in lines))
    return 0 if all(right for _, right in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
