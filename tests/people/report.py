"""What a run leaves behind: one row per cell, a summary, and its exit code."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from people.judging import problems, zero_seconds

if TYPE_CHECKING:
    from pathlib import Path

    from people.judging import Seen

LEAST_RATE = 30.0
COLUMNS = (
    "action",
    "step",
    "airflow",
    "weight 0 after",
    "failed",
    "ledger end",
    "next rollout",
    "as it must",
)


def row(seen: Seen) -> dict[str, str]:
    """Return a cell's row of the table."""
    cell, zero = seen.cell, zero_seconds(seen)
    weight = "still there" if zero is None else f"{zero:.1f} s"
    return {
        "action": f"{cell.action} {cell.clears}".strip(),
        "step": cell.step,
        "airflow": "killed" if cell.killed else "alive",
        "weight 0 after": "promoted" if seen.was_promoted else weight,
        "failed": str(seen.failures),
        "ledger end": ", ".join(seen.ends) or "none",
        "next rollout": "NO" if seen.next_problem else "ok",
        "as it must": "NO" if problems(seen) else "yes",
    }


def table(cells: list[Seen]) -> str:
    """Return the table in Markdown."""
    lines = [list(COLUMNS), ["---"] * len(COLUMNS), *([*row(seen).values()] for seen in cells)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def report(folder: Path, seed: int, wanted: int, cells: list[Seen], sent: dict) -> int:
    """Write ``summary.json`` and ``table.md``, print the table, return 0 if all is as it must be."""
    requests = sum(sent["sent"].values())
    rate = requests / sent["seconds"]
    found = [f"{seen.cell.name}: {problem}" for seen in cells for problem in problems(seen)]
    if len(cells) < wanted:
        found.append(f"{len(cells)} actions, wanted {wanted}")
    if rate < LEAST_RATE:
        found.append(f"{rate:.1f} requests/s, wanted {LEAST_RATE:g} or more")
    summary = {"seed": seed, "actions": len(cells), "seconds": round(sent["seconds"]), "requests": requests}
    summary |= {"requests_per_second": round(rate, 1), "failed": sum(seen.failures for seen in cells)}
    headline = ", ".join(f"{name} {value}" for name, value in summary.items())
    rows, seen = [row(seen) for seen in cells], [asdict(seen) for seen in cells]
    kept = {**summary, "problems": found, "table": rows, "seen": seen}
    (folder / "summary.json").write_text(json.dumps(kept, indent=1))
    text = f"{table(cells)}\n\n{headline}"
    (folder / "table.md").write_text(text + "\n")
    print(text, *(f"PROBLEM: {problem}" for problem in found), sep="\n")
    print("not as it must be" if found else "all as it must be", flush=True)
    return 1 if found else 0
