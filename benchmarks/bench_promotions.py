"""Thirty challengers one after another: how many inferior ones are promoted, and what they cost in all."""

from __future__ import annotations

import numpy as np
from promotions import World, follow

AT_THE_MARGIN, HALF_A_MARGIN = World(loss=1.0, fresh=False), World(loss=0.5, fresh=True)
MOST_ANY, MOST_LOSS = 0.10, 2.0
CASES = {
    "worse by the margin, same rows": (AT_THE_MARGIN, {}, 150),
    "  every try at the whole alpha": (AT_THE_MARGIN, {"spending": False}, 40),
    "worse by half a margin, new rows": (HALF_A_MARGIN, {}, 60),
    "  without the anchor": (HALF_A_MARGIN, {"anchored": False}, 20),
}


def main():
    print("30 challengers                      runs  any promoted  promoted  loss in margins: mean  greatest")
    found = {}
    for name, (world, settings, runs) in CASES.items():
        promoted = np.array([follow(world, seed, **settings) for seed in range(runs)])
        found[name] = promoted * world.loss
        print(
            f"{name:34} {runs:5} {(promoted > 0).mean():12.1%} {promoted.mean():10.2f} "
            f"{found[name].mean():21.2f} {found[name].max():9.1f}",
            flush=True,
        )
    same, new = (found[name] for name in CASES if not name.startswith(" "))
    noise = 2.33 * np.sqrt(MOST_ANY * (1 - MOST_ANY) / len(same))
    missed = [
        said
        for said, is_met in {
            f"any promoted in {(same > 0).mean():.1%}, allowed {MOST_ANY:.0%}": (same > 0).mean() - noise
            <= MOST_ANY,
            f"lost {new.mean():.2f} margins, allowed {MOST_LOSS:g}": new.mean() <= MOST_LOSS,
        }.items()
        if not is_met
    ]
    if missed:
        raise SystemExit("missed: " + "; ".join(missed))


if __name__ == "__main__":
    main()
