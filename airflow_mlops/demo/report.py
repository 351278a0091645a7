"""Output of the demo: progress lines, a final table, and ``summary.json``."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_BEGAN = time.monotonic()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Record):
    """Result of a scenario.

    :param requests: ``{version: {"sent": n, "failed": n}}`` as counted by clients.
    """

    scenario: str
    title: str
    expected: str
    observed: str
    passed: bool
    seconds: float
    evidence_run: str = ""
    requests: dict[str, dict[str, int]] = field(default_factory=dict)


def say(text: str) -> None:
    """Print a progress line with the time since the start."""
    seconds = int(time.monotonic() - _BEGAN)
    print(f"[{seconds // 60:02d}:{seconds % 60:02d}] {text}", flush=True)


def write_summary(path: Path, results: Sequence[Result]) -> None:
    """Write the results as JSON."""
    document = {
        "passed": bool(results) and all(result.passed for result in results),
        "seconds": round(time.monotonic() - _BEGAN, 1),
        "scenarios": [result.to_json() for result in results],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1))


def print_table(results: Sequence[Result]) -> None:
    """Print one block per scenario."""
    print(f"\n{'':2} {'scenario':44} {'result':8} {'seconds':>8}  requests sent/failed per version")
    for result in results:
        mark = "as expected" if result.passed else "UNEXPECTED"
        seen = ", ".join(f"v{v} {c['sent']}/{c['failed']}" for v, c in sorted(result.requests.items()))
        print(f"{result.scenario:2} {result.title[:44]:44} {mark:8} {result.seconds:8.1f}  {seen or '-'}")
        print(f"   {result.observed}")
    sys.stdout.flush()
