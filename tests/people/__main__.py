"""People lay hands on rollouts under a real scheduler; prints a table, exits 1 if not as it must be."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from chaos.site import MODEL
from chaos.traffic import Clients
from people.judging import problems
from people.report import report
from people.rollouts import act_in, begin, claims, look_back, repair
from people.schedule import Cell, cells, cheap_cells, every_cell
from people.site import PeopleSite
from people.watch import Weights

if TYPE_CHECKING:
    from people.judging import Seen
    from people.rollouts import Rollout

TRIES = 3


def main() -> int:
    options = _options()
    chosen, folder = _chosen(options), options.folder.absolute()
    print(f"seed {options.seed}; {len(chosen)} actions at {options.rate:g} requests/s", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    site = PeopleSite(folder / "site")
    try:
        site.start()
        site.begin()
        clients = Clients(site.serving.url(MODEL), options.rate, folder)
        try:
            with Weights(site.serving) as weights:
                seen = _people(site, chosen, weights, clients, options.minutes * 60)
        finally:
            sent = clients.stop()
    finally:
        site.stop()
    return report(folder, options.seed, len(chosen), seen, sent)


def _people(
    site: PeopleSite, chosen: list[Cell], weights: Weights, clients: Clients, seconds: float
) -> list[Seen]:
    """Do one cell after another; the next one's rollout shows that the endpoint is usable."""
    found: list[Seen] = []
    begun = time.monotonic()
    rollout, problem = _next(site, chosen[0])
    if problem:
        msg = f"the first rollout cannot claim: {problem}"
        raise RuntimeError(msg)
    for number, cell in enumerate(chosen):
        failed = len(clients.failures())
        seen, rollout = _cell(site, cell, rollout, weights)
        last = number + 1 == len(chosen) or time.monotonic() - begun > seconds
        following = chosen[(number + 1) % len(chosen)]
        before = rollout
        rollout, problem = _next(site, following)
        if seen is None:
            print(f"{cell.name}: the step was over each time", flush=True)
        else:
            failures = len(clients.failures()) - failed
            seen = replace(look_back(site, before, seen), next_problem=problem, failures=failures)
            found.append(seen)
            _say(seen)
        if problem:
            repair(site)
            rollout, _ = _next(site, following)
        if last:
            break
    return found


def _cell(site: PeopleSite, cell: Cell, rollout: Rollout, weights: Weights) -> tuple[Seen | None, Rollout]:
    """Do a cell; again with a rollout of its own when its step was over too soon."""
    for _ in range(TRIES):
        seen = act_in(site, cell, rollout, weights)
        if seen is not None:
            return seen, rollout
        site.wait_until_free(60)
        rollout, _ = _next(site, cell)
    return None, rollout


def _next(site: PeopleSite, cell: Cell) -> tuple[Rollout, str]:
    """Begin a cell's rollout; return it, and why it cannot use the endpoint."""
    rollout = begin(site, site.dag_of(cell))
    return rollout, claims(site, rollout, deploys=cell.step != "deploy")


def _say(seen: Seen) -> None:
    found = problems(seen)
    ended = f"run {seen.state}, ledger {', '.join(seen.ends) or 'no end'}"
    print(f"{seen.cell.name}: {ended}; {'; '.join(found) or 'as it must'}", flush=True)


def _chosen(options: argparse.Namespace) -> list[Cell]:
    if options.cheap:
        return cheap_cells()
    if options.only:
        return [cell for word in options.only for cell in every_cell() if word in cell.name]
    return cells(options.actions, random.Random(options.seed))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos-people", description=__doc__)
    parser.add_argument("--actions", type=int, default=60)
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--rate", type=float, default=40.0, help="requests per second")
    parser.add_argument("--minutes", type=float, default=90.0, help="begin no cell after so long")
    parser.add_argument("--cheap", action="store_true", help="the short version: one cell of each cheap kind")
    parser.add_argument("--only", nargs="*", help="cells whose names contain these words, in this order")
    parser.add_argument("--folder", type=Path, default=Path("build/people"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
