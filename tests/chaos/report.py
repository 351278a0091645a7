"""What a chaos run leaves behind: a table, a summary, and its exit code."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from chaos.judging import End, Kill, problems, table

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

LEAST_RATE = 50.0
COLUMNS = ("target", "step", "kills", "failed", "in_flight", "double_promotions", "final", "as_planned")
HEADLINE = ("seed", "kills", "rollouts", "seconds", "requests", "requests_per_second", "failed")


def report(
    folder: Path, options: argparse.Namespace, seen: tuple[list[Kill], list[dict], list[End]], sent: dict
) -> int:
    """Write ``summary.json`` and ``table.md``, print the table, return 0 if all is as planned."""
    kills, failures, ends = seen
    rows, requests = table(kills, failures, ends), sum(sent["sent"].values())
    found, rate = problems(kills, failures, ends, wanted=options.kills), requests / sent["seconds"]
    if rate < LEAST_RATE:
        found.append(f"{rate:.1f} requests/s, wanted {LEAST_RATE:g} or more")
    summary = {
        "seed": options.seed,
        "kills": len(kills),
        "rollouts": len(ends),
        "seconds": round(sent["seconds"]),
        "requests": requests,
        "requests_per_second": round(rate, 1),
        "failed": len(failures),
        "problems": found,
        "table": rows,
        "ends": [asdict(end) for end in ends],
        "done": [asdict(kill) for kill in kills],
        "failures": failures,
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=1))
    text = f"{_table(rows)}\n\n{', '.join(f'{name} {summary[name]}' for name in HEADLINE)}"
    (folder / "table.md").write_text(text + "\n")
    print(text, *(f"PROBLEM: {problem}" for problem in found), sep="\n")
    print("not as planned" if found else "all as planned", flush=True)
    return 1 if found else 0


def _table(rows: list[dict]) -> str:
    lines = [[name.replace("_", " ") for name in COLUMNS], ["---"] * len(COLUMNS)]
    lines += [[_cell(row[name]) for name in COLUMNS] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    return {True: "yes", False: "NO"}[value] if isinstance(value, bool) else str(value)
