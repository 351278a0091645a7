"""Kill processes of running rollouts and prove that nothing was lost; prints a table, exits 1 if not so."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from chaos.report import report
from chaos.rollouts import roll_out
from chaos.schedule import Cell, cells, take_rollout
from chaos.site import MODEL, Site
from chaos.traffic import Clients

if TYPE_CHECKING:
    from chaos.judging import End, Kill

SPARE_ROLLOUTS = 8


def main() -> int:
    options = _options()
    rng, folder = random.Random(options.seed), options.folder.absolute()
    print(f"seed {options.seed}; {options.kills} kills at {options.rate:g} requests/s", flush=True)
    waiting = cells(options.kills, rng)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    site = Site(folder / "site")
    try:
        site.start()
        site.begin()
        clients = Clients(site.serving.url(MODEL), options.rate, folder)
        try:
            ends, kills = _chaos(site, waiting, rng, options.minutes * 60)
        finally:
            sent = clients.stop()
    finally:
        site.stop()
    return report(folder, options, (kills, clients.failures(), ends), sent)


def _chaos(
    site: Site, waiting: list[Cell], rng: random.Random, seconds: float
) -> tuple[list[End], list[Kill]]:
    """Roll out until every kill was done; one that came too late is tried again."""
    ends: list[End] = []
    kills: list[Kill] = []
    begun, most = time.monotonic(), len(waiting) + SPARE_ROLLOUTS
    while waiting and len(ends) < most and time.monotonic() - begun < seconds:
        end, done, late = roll_out(site, len(ends) + 1, take_rollout(waiting), rng)
        print(f"rollout {end.rollout}: version {end.version} {end.state} in {end.seconds:.0f} s", flush=True)
        ends.append(end)
        kills += done
        waiting += late
    return ends, kills


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=46)
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--rate", type=float, default=55.0, help="requests per second")
    parser.add_argument("--minutes", type=float, default=30.0, help="begin no rollout after so long")
    parser.add_argument("--folder", type=Path, default=Path("build/chaos"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
