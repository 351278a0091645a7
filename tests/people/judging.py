"""What must hold after a person's action: weights, failed requests, the ledger's end, the next rollout."""

from __future__ import annotations

from dataclasses import dataclass

from people.schedule import ASK, PAUSES, STOPS, Action, Cell

STOP_SECONDS = 5.0
LEASE_SECONDS = 15.0
REAPER_SECONDS = 1.0
SKEW_SECONDS = 5.0
SLACK_SECONDS = 4.0
"""Of the sampler, and of a task that was under way: it may renew the lease once more."""
UNWATCHED_SECONDS = LEASE_SECONDS + REAPER_SECONDS + SKEW_SECONDS + SLACK_SECONDS
UNDER_WAY_SECONDS = 3.0
RISING_SECONDS = 15.0
"""How long after a pause the weight may still rise by a task that Airflow had queued before; the second when
that task is the one that raises it."""
PROMOTED, STOPPED = "promoted", "stopped"
UNATTENDED = ("reaped", "superseded", "failed")
GIVEN_UP = (*UNATTENDED, "rolled_back")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of one cell. Times are epoch seconds.

    :param at: just before the action; ``said``: when it was done.
    :param weights: share of requests of the rollout's version, as it changed: time and percent.
    :param released: when the pause ended, or the DAG file was put back; 0: never.
    :param state: the run's last state; ``gone`` if it was deleted.
    :param greens: its tasks that say success.
    :param ends: kinds of the ledger's ends of this rollout.
    :param entries: promotions of its version in the ledger.
    :param stable: version that serves; ``champion``: the registry's.
    :param refused: what the action was answered if it was refused; empty if it was done.
    :param next_problem: why the next rollout could not claim and deploy; empty if it did.
    :param failures: requests that failed between the action and the next rollout.
    """

    cell: Cell
    version: str
    champion_before: str
    at: float
    said: float
    weights: tuple[tuple[float, int], ...]
    released: float = 0.0
    state: str = ""
    greens: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    entries: int = 0
    stable: str | None = None
    champion: str | None = None
    refused: str = ""
    next_problem: str = ""
    failures: int = 0

    @property
    def was_promoted(self) -> bool:
        """Whether the version serves as champion, by ledger and registry."""
        return self.entries == 1 and self.champion == self.version == self.stable


def percent_at(weights: tuple[tuple[float, int], ...], at: float) -> int:
    """Return the share at a time."""
    return next((percent for since, percent in reversed(weights) if since <= at), 0)


def zero_seconds(seen: Seen) -> float | None:
    """Return how long after the action the version got no request for good; ``None``: it still gets some."""
    if percent_at(seen.weights, seen.at) == 0 and not any(p for t, p in seen.weights if t > seen.at):
        return 0.0
    last_time, last_percent = seen.weights[-1]
    return max(last_time - seen.at, 0.0) if last_percent == 0 else None


def allowed_kinds(cell: Cell) -> tuple[str, ...]:
    """Return the ends that the ledger may tell of a cell's rollout."""
    late = cell.step in ("promote", "clean_up")
    if cell.action in STOPS:
        return (STOPPED, PROMOTED) if late else (STOPPED,)
    if cell.action in (Action.PAUSE_SHORT, Action.CLEAR) and not cell.killed:
        return (PROMOTED,)
    if cell.action in (*PAUSES, Action.CLEAR, Action.DELETE_DAG):
        return (PROMOTED, *GIVEN_UP)
    return (PROMOTED, *UNATTENDED) if late or cell.step == "analyse_50" else UNATTENDED


def problems(seen: Seen) -> list[str]:
    """Return what must not be; nothing when all is well."""
    if seen.refused:
        return [f"the action was refused: {seen.refused}"]
    found = [*_of_weight(seen), *_of_ledger(seen), *_of_green(seen)]
    if seen.failures:
        found.append(f"{seen.failures} requests failed")
    if seen.next_problem:
        found.append(f"next rollout: {seen.next_problem}")
    return found


def _of_weight(seen: Seen) -> list[str]:
    zero, action = zero_seconds(seen), seen.cell.action
    if seen.was_promoted:
        return _of_pause(seen) if action in PAUSES else []
    if zero is None:
        return [f"version {seen.version} still gets {seen.weights[-1][1]} % of requests"]
    if action in STOPS:
        late = zero > STOP_SECONDS
        return [f"weight 0 after {zero:.1f} s, allowed: {STOP_SECONDS:g} s"] if late else []
    if action in (Action.MARK_FAILED, Action.MARK_SUCCESS, Action.DELETE_RUN) and zero > UNWATCHED_SECONDS:
        return [f"weight 0 after {zero:.1f} s, allowed without anybody: {UNWATCHED_SECONDS:g} s"]
    return _of_pause(seen) if action in PAUSES else []


def _of_pause(seen: Seen) -> list[str]:
    """Nothing rises while a DAG is paused, but for what was under way."""
    settled = seen.said + (RISING_SECONDS if seen.cell.step in ("set_20", "promote") else UNDER_WAY_SECONDS)
    begun = max(percent_at(seen.weights, settled), percent_at(seen.weights, seen.at))
    paused = (p for t, p in seen.weights if settled < t < seen.released)
    return [f"weight rose from {begun} % to {p} % while paused" for p in paused if p > begun][:1]


def _of_ledger(seen: Seen) -> list[str]:
    """One end for each rollout, and the one that was; a promotion is one by traffic, alias and ledger.

    Who stops a rollout that was promoted, but has not cleaned up yet, frees its endpoint: that is told, too.
    """
    found, allowed = [], allowed_kinds(seen.cell)
    freed_late = seen.cell.action in STOPS and seen.was_promoted and seen.ends == (PROMOTED, STOPPED)
    if not freed_late and (len(seen.ends) != 1 or seen.ends[0] not in allowed):
        found.append(f"ledger tells {', '.join(seen.ends) or 'no end'}; allowed: one of {', '.join(allowed)}")
    if (PROMOTED in seen.ends) is not seen.was_promoted:
        found.append(
            f"ends {seen.ends}, but {seen.entries} promotions, stable {seen.stable}, champion {seen.champion}"
        )
    if not seen.was_promoted and (seen.stable, seen.champion) != (seen.champion_before,) * 2:
        found.append(
            f"stable {seen.stable} and champion {seen.champion}, before it was {seen.champion_before}"
        )
    return found


def _of_green(seen: Seen) -> list[str]:
    """No task, and no run that nobody marked, says success when the version was not promoted."""
    if seen.was_promoted:
        return []
    green = [task for task in seen.greens if task in ("promote", "clean_up")]
    if seen.state == "success" and seen.cell.action is not Action.MARK_SUCCESS:
        green.append("the run")
    return [f"green without a promotion: {', '.join(green)}"] if green else []


def needs_person(cell: Cell) -> bool:
    """Whether the cell needs the rollout that asks."""
    return cell.step == ASK
