"""``airflow-mlops plan``: rows, positives, requests and days that the claims of a configuration need."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_mlops.cli.csv_options import add_csv_options, window_of
from airflow_mlops.cli.terminal import FAILED, NOT_MEASURED, PASSED
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.monitoring.performance_policy import PerformancePolicy
from airflow_mlops.core.planning.present import never_decided
from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.core.training.job import DatasetSpec
from airflow_mlops.core.validation.metrics.registry import traits_of
from airflow_mlops.core.validation.policy import ValidationPolicy

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from airflow_mlops.core.planning.claims import Large, Need
    from airflow_mlops.core.planning.present import Present
    from airflow_mlops.core.planning.worlds import Assumed

_DAY, _WINDOW_REQUESTS, _NEVER = 86400.0, 10.0, "never"
_PLANNED_CLASSES = 2


@dataclass(frozen=True)
class Asked:
    """What is planned."""

    policy: ValidationPolicy
    monitor: PerformancePolicy | None
    rollout: RolloutPlan
    holdout_share: float
    data: DatasetSpec | None = None
    segments: int = 0
    uri: str = ""


def add_plan(commands: Any) -> None:
    """Add ``plan`` to the commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "plan", help="how many rows, positives, requests and days the configured claims need; 1: some never"
    )
    parser.add_argument("config", nargs="?", help="a model's YAML file; or give --metric and --margin")
    parser.add_argument("--metric", help="by name, e.g. roc_auc")
    parser.add_argument("--margin", type=float, help="how much worse than the champion is accepted")
    parser.add_argument("--floor", type=float, help="least value; of a loss the greatest")
    parser.add_argument("--segments", type=int, default=0, help="declared segments, of equal size")
    parser.add_argument("--value", type=float, help="the champion's value; default: that of an area of .85")
    parser.add_argument("--prevalence", type=float, help="share of positives; default: the data's, or .5")
    parser.add_argument("--correlation", type=float, default=0.9, help="of both models' scores; default .9")
    parser.add_argument("--power", type=float, default=0.8, help="wanted; default .8")
    parser.add_argument("--rows-per-day", type=float, help="labelled rows that arrive in a day")
    parser.add_argument("--requests-per-day", type=float, help="requests that the endpoint answers")
    parser.add_argument("--error-rate", type=float, default=0.0, help="of a healthy canary; default 0")
    parser.add_argument("--data", metavar="URI", help="a window: what it allows is shown")
    parser.add_argument("--partition", action="append", default=[], help="partition key, may be repeated")
    add_csv_options(parser)
    parser.set_defaults(run=run_plan)


def run_plan(options: argparse.Namespace) -> int:
    """Print what each claim needs; 1 if one can never be decided, 0 if all can, 2 if none is planned.

    :raises InvalidConfigError: nothing to plan, or what cannot be planned without rows.
    """
    asked = _asked(options)
    present = _present(options, asked)
    found: list[Need] = []
    large: Large | None = None
    if present and (present.classes or 0) > _PLANNED_CLASSES:
        notes = _of_many_classes(asked, present.classes)
    else:
        found, large, notes = _claims(options, asked, present)
    notes += _not_seen(asked, present)
    lines, doubts = _requests(
        options, asked, large, present, max((one.rows or 0 for one in found), default=0)
    )
    print("\n".join(lines))
    doubts += never_decided(asked.policy, present) if present else []
    for doubt in (*doubts, *notes):
        print(f"! {doubt}")
    if doubts or any(one.rows is None for one in found):
        return FAILED
    return PASSED if found else NOT_MEASURED


def _claims(
    options: argparse.Namespace, asked: Asked, present: Present | None
) -> tuple[list[Need], Large, list[str]]:
    """Print what the claims of validation need; return them, and what was not planned."""
    from airflow_mlops.core.planning.claims import Large, needs

    policy, left_out = _plannable(asked.policy)
    each = present.rows_per_unit if present else 1.0
    least = max(1, round(policy.min_segment_rows / each))
    large = Large(_assumed(options, policy, present), replace(policy, min_segment_rows=least))
    equal = tuple(1 / asked.segments for _ in range(asked.segments))
    shares = present.shares if present and present.segments else equal
    found = [
        replace(one, rows=one.rows and math.ceil(one.rows * each))
        for one in needs(large, shares, present.units if present else None, options.power)
    ]
    rate = options.rows_per_day or (present.rows / present.days if present and present.days else None)
    print("\n".join([*_said(large, options.power), ""]))
    held_back = present.held_back if present else None
    print("\n".join([*_rows_table(found, asked.holdout_share, rate, held_back), ""]), flush=True)
    return found, large, _left_out(asked, left_out, shares)


def _of_many_classes(asked: Asked, classes: int | None) -> list[str]:
    """Return what is not planned, as it would have to be of two classes."""
    claims = {name: name for name in asked.policy.measured}
    if asked.data and asked.data.segments:
        claims[f"segments of {', '.join(asked.data.segments)}"] = asked.policy.metrics[0]
    if asked.monitor:
        claims[f"monitoring of {asked.monitor.metric}"] = asked.monitor.metric
    return [
        f"not planned: {claim}"
        + (f": {classes} classes" if traits_of(name) else ", which needs rows with scores")
        for claim, name in claims.items()
    ]


def _left_out(asked: Asked, metrics: Sequence[str], shares: Sequence[float]) -> list[str]:
    """Return what was not planned, and what would be needed for that."""
    said = [f"not planned: {name}, which needs rows with scores" for name in metrics]
    columns = asked.data.segments if asked.data else ()
    if columns and not shares:
        said.append(
            f"not planned: segments of {', '.join(columns)}; give --data, or --segments and their number"
        )
    return said


def _not_seen(asked: Asked, present: Present | None) -> list[str]:
    """Return how entities were counted, and that no data were looked at where they are configured."""
    entity = ", ".join(asked.policy.entity)
    if present and entity:
        each = f"{present.rows_per_unit:.3g} held-back rows"
        return [f"validate.entity {entity}: {each} count as one, as if all of an entity moved together"]
    said = (
        [f"not planned: entities of {entity}, rows are taken as independent; give --data"] if entity else []
    )
    if asked.uri and not present:
        said.append(f"not looked at: data.uri {asked.uri}, its columns and its classes; give --data")
    return said


def _asked(options: argparse.Namespace) -> Asked:
    if options.config:
        from airflow_mlops.dag_factories.config import load_config

        config = load_config(options.config)
        return Asked(
            policy=config.validate.policy(),
            monitor=config.performance_policy(),
            rollout=config.rollout.plan(),
            holdout_share=config.data.holdout_share,
            data=config.data.spec(),
            segments=options.segments,
            uri=config.data.uri,
        )
    if not options.metric or options.margin is None:
        msg = "plan: nothing to plan; allowed: a model's YAML file, or --metric and --margin"
        raise InvalidConfigError(msg)
    traits = traits_of(options.metric)
    where = "ceiling" if traits and traits.sign < 0 else "floor"
    bars: dict[str, Any] = {} if options.floor is None else {where: {options.metric: options.floor}}
    return Asked(
        policy=ValidationPolicy(margin={options.metric: options.margin}, **bars),
        monitor=PerformancePolicy(metric=options.metric),
        rollout=RolloutPlan(),
        holdout_share=0.25,
        segments=options.segments,
    )


def _present(options: argparse.Namespace, asked: Asked) -> Present | None:
    if not options.data:
        return None
    if asked.data is None:
        msg = "--data: the columns' roles are unknown; allowed: with a model's YAML file"
        raise InvalidConfigError(msg)
    from airflow_mlops.backends.training.rows import read_rows
    from airflow_mlops.backends.validation.present import present_in

    rows = read_rows(window_of(options, options.data, options.partition), asked.data)
    return present_in(rows, asked.data, asked.policy)


def _plannable(policy: ValidationPolicy) -> tuple[ValidationPolicy, list[str]]:
    """Leave out metrics that only rows can tell of.

    :raises InvalidConfigError: none is left.
    """
    from airflow_mlops.core.planning.worlds import PLANNABLE, is_plannable

    first = next((name for name in policy.metrics if is_plannable(name)), "")
    if not first:
        msg = f"plan: {', '.join(policy.metrics)} cannot be planned without rows; allowed: {PLANNABLE}"
        raise InvalidConfigError(msg)
    kind = traits_of(first)

    def fits(name: str) -> bool:
        its = traits_of(name)
        return is_plannable(name) and bool(its and kind and its.is_of_classes == kind.is_of_classes)

    def kept(bars: dict[str, float]) -> dict[str, float]:
        return {name: bar for name, bar in bars.items() if fits(name)}

    plannable = replace(
        policy,
        margin=kept(policy.margin),
        relative_margin=kept(policy.relative_margin),
        floor=kept(policy.floor),
        ceiling=kept(policy.ceiling),
        slices=None,
    )
    return plannable, [name for name in policy.measured if not fits(name)]


def _assumed(options: argparse.Namespace, policy: ValidationPolicy, present: Present | None) -> Assumed:
    from airflow_mlops.core.planning.worlds import Assumed, needs_value

    name = policy.metrics[0]
    if options.value is None and name in policy.margin and needs_value(name):
        msg = f"{name} has a unit: give the champion's with --value"
        raise InvalidConfigError(msg)
    prevalence = options.prevalence or (present and present.prevalence) or 0.5
    return Assumed(metric=name, value=options.value, prevalence=prevalence, correlation=options.correlation)


def _said(large: Large, power: float) -> list[str]:
    its, policy = large.assumed, large.policy
    share = f"{its.prevalence:.3g} of the rows positive, " if its.is_of_classes else ""
    return [
        f"power {power:g} at alpha {policy.alpha:g}, of a challenger that equals the champion",
        f"assumed: {its.metric} {large.value(its.metric):.3g}, {share}scores correlate {its.correlation:g}",
    ]


def _rows_table(
    found: Sequence[Need], holdout_share: float, rate: float | None, present: int | None
) -> list[str]:
    header = ["claim", "held-back rows", "rests on", "rows in all"]
    header += ["days"] if rate is not None else []
    header += [f"power at {present:,}"] if present is not None else []
    table = [header]
    for one in found:
        row = [one.claim, *_numbers(one, holdout_share, rate)]
        if one.power is not None:
            row.append(f"{one.power:.2f}")
        table.append(row)
    return _aligned(table)


def _numbers(one: Need, holdout_share: float, rate: float | None) -> list[str]:
    if one.rows is None:
        return [_NEVER, "", "", *([""] if rate is not None else [])]
    whole = one.rows / holdout_share
    numbers = [f"{one.rows:,}", f"{one.rows * one.share:,.0f}", f"{whole:,.0f}"]
    return numbers + ([f"{whole / rate:,.1f}"] if rate is not None else [])


def _requests(
    options: argparse.Namespace, asked: Asked, large: Large | None, present: Present | None, hoped: int
) -> tuple[list[str], list[str]]:
    """Return the table of claims about requests, and which of them can never be decided."""
    from airflow_mlops.core.planning.requests import (
        MOST_REQUESTS,
        requests_to_advance,
        requests_to_find_a_drop,
    )
    from airflow_mlops.core.planning.worlds import is_plannable

    rate, table, doubts = options.requests_per_day, [["claim", "requests", "days"]], []
    monitor, plan = asked.monitor, asked.rollout
    promised, noun = (present.units, present.noun) if present else (hoped, "rows")
    if large and monitor and promised and is_plannable(monitor.metric):
        found = requests_to_find_a_drop(large, monitor, promised, options.power)
        claim = f"monitoring: twice the allowed drop, {promised:,} {noun} promised"
        table.append([claim, *_asked_for(found, rate, f"over {MOST_REQUESTS:,}")])
        if found is None and present:
            doubts.append(
                f"monitor.{monitor.metric}: {MOST_REQUESTS:,} requests do not suffice: the promise from "
                f"{promised:,} held-back {noun} is too uncertain"
            )
    for percent in plan.percents:
        share = percent / 100
        per_window = _WINDOW_REQUESTS if not rate else rate / _DAY * plan.window_seconds * share
        found = requests_to_advance(plan, per_window, options.error_rate, options.power)
        claim = f"canary at {percent} %: errors below {plan.max_error_rate:g}"
        table.append([claim, *_asked_for(found, rate and rate * share)])
        if found is None:
            doubts.append(
                f"rollout.max_error_rate {plan.max_error_rate:g}: a canary that fails in "
                f"{options.error_rate:g} is not shown to stay below it at {percent} %"
            )
    return _aligned(table), doubts


def _asked_for(requests: int | None, rate: float | None, beyond: str = _NEVER) -> list[str]:
    if requests is None:
        return [beyond, ""]
    return [f"{requests:,}", f"{requests / rate:,.2f}" if rate else ""]


def _aligned(table: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = (
        row[0].ljust(widths[0])
        + "".join(cell.rjust(width + 2) for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in table
    )
    return [line.rstrip() for line in lines]
