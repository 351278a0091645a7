"""Error rates of skew rules: windows without drift, three drifts, a year of real flights.

Every rule sees the same samples. Counts per cell are drawn from their multinomial law instead of row by
row: the same law, and 1M rows cost what 1k rows do. Other tools' default rules are re-stated here in a
line each, on the same bins; their own code was not run.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
from scipy import stats
from skew_tails import long_tails

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.core.data.profile.column import Column, Kind
from airflow_mlops.core.data.profile.profile import Profile, merge
from airflow_mlops.core.data.skew.bounds import measure
from airflow_mlops.core.data.skew.calibration import calibrate
from airflow_mlops.core.data.skew.compare import compare_profiles
from airflow_mlops.core.data.skew.distance import (
    Bins,
    jensen_shannon,
    largest_change,
    wasserstein,
)
from airflow_mlops.core.data.skew.policy import Distance, SkewPolicy

REPETITIONS = 200
SIZES = [(10**3, 10**3), (10**4, 10**4), (10**5, 10**5), (10**6, 10**6), (10**6, 10**3)]
EDGES = stats.norm.ppf(np.arange(64) / 64 + 1e-4)
MIDDLES = (EDGES[:-1] + EDGES[1:]) / 2
POINTS = np.concatenate([EDGES[:1], MIDDLES, EDGES[-1:]])
SHARES = np.array([0.4, 0.3, 0.2, 0.06, 0.03, 0.01])
NULLS = 0.02
DRIFTS = {"mean +0.1 sd": (0.1, 1.0, 0.0), "category mix 5 %": (0.0, 1.0, 0.05), "sd x 1.1": (0.0, 1.1, 0.0)}
RULES = ("p < .05", "BH", "Evidently", "L-inf/JS", "BH & .03", "ours")


def numbers(mean=0.0, scale=1.0):
    return np.diff(stats.norm.cdf((EDGES - mean) / scale), prepend=0.0, append=1.0)


def draw(rng, rows, columns, drift=(0.0, 1.0, 0.0)):
    """Counts of the first number and the first category with drift, all others without."""
    mean, scale, mix = drift
    moved = SHARES + np.array([-mix, 0, mix, 0, 0, 0])
    kinds = [numbers(mean, scale), moved] + [numbers(), SHARES] * (columns // 2 - 1)
    present = rows - rng.binomial(rows, NULLS, columns)
    return [rng.multinomial(n, p) for n, p in zip(present, kinds, strict=True)]


def profile(rows, counts):
    columns = []
    for i, bins in enumerate(counts):
        known = {"name": f"c{i}", "nulls": rows - int(bins.sum())}
        if len(bins) == len(POINTS):
            edges, tally = tuple(EDGES.tolist()), tuple(bins.tolist())
            columns.append(Column(kind=Kind.NUMBER, arrow_type="double", edges=edges, counts=tally, **known))
        else:
            named = dict(zip("abcdef", bins.tolist(), strict=True))
            columns.append(Column(kind=Kind.STRING, arrow_type="string", categories=named, **known))
    return Profile(rows=rows, columns=tuple(columns))


def side_by_side(reference, current, kind):
    chosen = [i for i, bins in enumerate(reference) if (len(bins) == len(POINTS)) == (kind == "number")]
    sizes = np.array([len(reference[i]) for i in chosen])
    flat = [np.concatenate([side[i] for i in chosen]).astype(float) for side in (reference, current)]
    points = np.tile(POINTS, len(chosen)) if kind == "number" else np.zeros(sizes.sum())
    return Bins(sizes=sizes, reference=flat[0], current=flat[1], points=points)


def flagged(reference, current, n, m):
    """Return, per rule, which columns it flags: numbers first, then categories."""
    a, b = side_by_side(reference, current, "number"), side_by_side(reference, current, "category")
    ks, tv = measure(Distance.KS, a, 0.05), measure(Distance.TOTAL_VARIATION, b, 0.05)
    p = np.concatenate([ks.p_value, tv.p_value])
    effect = np.concatenate([ks.value, tv.value])
    bh = stats.false_discovery_control(p) <= 0.05
    large = np.concatenate([wasserstein(a), jensen_shannon(b)]) > 0.1
    fixed = np.concatenate([jensen_shannon(a) ** 2 > 0.02, largest_change(b) > 0.01])
    report = compare_profiles(profile(n, reference), profile(m, current))
    numbers_first = [f"c{i}" for i in (*range(0, len(reference), 2), *range(1, len(reference), 2))]
    found = set(report.skewed_columns)
    ours = np.array([name in found for name in numbers_first])
    return p < 0.05, bh, (large if m > 1000 else p < 0.05), fixed, bh & (effect >= 0.03), ours


def rates(n, m, columns, drift=None, repetitions=REPETITIONS, target=None):
    """Return how often each rule flags any column, or the target column."""
    rng = np.random.default_rng(n + m + columns)
    hits = np.zeros(len(RULES))
    for _ in range(repetitions):
        reference, current = draw(rng, n, columns), draw(rng, m, columns, drift or (0.0, 1.0, 0.0))
        per_rule = flagged(reference, current, n, m)
        hits += [f.any() if target is None else f[target] for f in per_rule]
    return hits / repetitions


def table(title, rows):
    print(f"\n{title}\n{'':40}" + "".join(f"{rule:>11}" for rule in RULES))
    for label, values in rows:
        print(f"{label:40}" + "".join(f"{value:>11.1%}" for value in values))


def simulated():
    quiet = [
        (f"{n:>9,} / {m:>9,} rows, {columns} columns", rates(n, m, columns))
        for n, m in SIZES
        for columns in (10, 40)
    ]
    table(f"Windows WITHOUT drift in which any column is flagged ({REPETITIONS} runs each)", quiet)
    rows = []
    for n, m in SIZES[2:]:
        for name, drift in DRIFTS.items():
            target = 20 if drift[2] else 0  # the first category stands behind all 20 numbers
            rows.append((f"{n:>9,} / {m:>9,}, {name}", rates(n, m, 40, drift, 100, target)))
    table("Drifted column found, among 40 columns (100 runs each)", rows)


def flights():
    from airflow_mlops.demo.flights import FEATURES, all_flights

    frame = all_flights().assign(week=lambda f: (f["time_hour"].dt.day_of_year - 1) // 7)
    frame = frame[[*FEATURES, "air_time", "arr_delay", "month", "week"]]
    bins = profiled(frame)
    known = {(by, key): profiled(part, bins) for by in ("month", "week") for key, part in frame.groupby(by)}
    january = [compare_profiles(known["month", 1], known["month", m]) for m in range(2, 13)]
    air = [distances(report)["air_time"] for report in january]
    print("\nFlights of 2013, 13 columns; what counts as quiet: the first weeks as they are, storms and all")
    print(f"  air_time against January: KS {min(air):.3f} to {max(air):.3f}; a fixed .03 fires in ", end="")
    print(f"{sum(x > 0.03 for x in air)} of 11 months")
    for weeks in (13, 26):
        later(known, weeks, frame, bins)


def profiled(frame, bins=None):
    rows = pa.Table.from_pandas(frame.drop(columns=["month", "week"]), preserve_index=False)
    return profile_table(rows, bins_from=bins)


def distances(report):
    return {t.column: t.effect.value for t in report.tests if t.effect.name in list(Distance)}


def later(known, weeks, frame, bins):
    """Calibrate on the first weeks as blocks; judge all later months and weeks, then broken copies."""
    blocks = [known["week", week] for week in range(weeks)]
    reference, calibration = merge(*blocks), calibrate(blocks)
    print(f"\n  reference: weeks 1 to {weeks}; {calibration.sentence}")
    first = weeks * 7 // 30 + 1  # the first month after, but for a day
    for by, keys in (("month", range(first, 13)), ("week", range(weeks, 52))):
        reports = {key: compare_profiles(reference, known[by, key], None, calibration) for key in keys}
        loud = {key: report.skewed_columns for key, report in reports.items() if report.skewed_columns}
        fixed = sum(max(distances(report).values()) > 0.03 for report in reports.values())
        print(f"    later {by}s flagged: {len(loud)} of {len(keys)} (fixed .03: {fixed}); {count(loud)}")
        if by == "month":
            print("".join(f"      month {key}: {', '.join(names)}\n" for key, names in loud.items()), end="")
    print(f"    month {first} with faults:")
    for name, broken in faults(frame[frame["month"] == first]).items():
        found = compare_profiles(reference, profiled(broken, bins), None, calibration).skewed_columns
        print(f"      {name}: {', '.join(found) or 'nothing'} flagged")


def faults(month):
    lost = month.copy()
    lost.loc[lost.index[::10], "distance"] = None
    closed = (month["origin"] == "LGA") & (np.arange(len(month)) % 2 == 0)
    carrier = month["carrier"].where(np.arange(len(month)) % 10 != 0, "??")
    return {
        "as it is": month,
        "10 % of distances missing": lost,
        "distance in kilometres": month.assign(distance=month["distance"] * 1.609),
        "half of LaGuardia's flights lost": month[~closed],
        "delays in hours": month.assign(dep_delay=month["dep_delay"] / 60),
        "10 % of carriers '??'": month.assign(carrier=carrier),
    }


def count(loud):
    names = [name for columns in loud.values() for name in columns]
    return ", ".join(f"{name} in {names.count(name)}" for name in sorted(set(names))) or "no column"


def swaying():
    """Blocks that sway as a whole: is a further quiet block flagged, with and without calibration."""
    print("\nQuiet blocks of 20,000 rows that sway as a whole, 10 columns: further block flagged (200 runs)")
    print(f"{'blocks':>10}{'stated, at most':>18}{'calibrated':>14}{'defaults':>12}")
    for blocks in (8, 19, 39):
        rng, hits = np.random.default_rng(blocks), np.zeros(2)
        for _ in range(REPETITIONS):
            *history, fresh = [profile(20_000, sway(rng)) for _ in range(blocks + 1)]
            reference, calibration = merge(*history), calibrate(history)
            hits += [
                bool(compare_profiles(reference, fresh, None, given).skewed_columns)
                for given in (calibration, None)
            ]
        measured = hits / REPETITIONS
        print(f"{blocks:>10}{calibration.error:>18.1%}{measured[0]:>14.1%}{measured[1]:>12.1%}")


def sway(rng):
    tilts = rng.normal(0, 0.05, 10) * np.arange(1, 11) / 5
    return [rng.multinomial(20_000, numbers(tilt) if i % 2 else tilted(tilt)) for i, tilt in enumerate(tilts)]


def tilted(tilt):
    shares = SHARES * np.exp(tilt * np.linspace(-1, 1, len(SHARES)))
    return shares / shares.sum()


ORDERS = {
    "as it came": lambda values: values,
    "sorted": np.sort,
    "monotone in time": lambda values: np.sort(values)[::-1],
    "constant group first": lambda values: values[np.argsort(np.abs(values), kind="stable")],
}


def ordered():
    """Windows read in an order that has to do with their values: 10 columns, real rows."""
    print("\nWindows in an order that depends on their values, 10 columns of real rows")
    print(f"{'order of both windows':>24}{'rows':>10}{'any flagged':>14}{'mean +0.1 sd found':>20}")
    for name, order in ORDERS.items():
        for rows, repetitions in ((1_000, 100), (10_000, 50), (100_000, 20)):
            rng, hits = np.random.default_rng(rows), np.zeros(2)
            for _ in range(repetitions):
                one, other = ({f"c{i}": order(rng.normal(size=rows)) for i in range(10)} for _ in range(2))
                reference, quiet = (profile_table(pa.table(window)) for window in (one, other))
                moved = profile_table(pa.table(other | {"c0": other["c0"] + 0.1}))
                hits += [
                    bool(compare_profiles(reference, quiet).skewed_columns),
                    "c0" in compare_profiles(reference, moved).skewed_columns,
                ]
            print(f"{name:>24}{rows:>10,}{hits[0] / repetitions:>14.1%}{hits[1] / repetitions:>20.1%}")


def wandering(rng, count):
    steps, place = rng.normal(size=(count, 5)), np.zeros(5)
    return np.array([place := 0.8 * place + 0.6 * step for step in steps])


HISTORIES = {
    "exchangeable": lambda rng, count: rng.normal(size=(count, 5)),
    "AR(1) .8": wandering,
    "weekly season": lambda rng, count: (
        2 * np.sin(2 * np.pi * np.arange(count)[:, None] / 7 + np.arange(5))
        + 0.5 * rng.normal(size=(count, 5))
    ),
    "slow trend": lambda rng, count: (
        np.arange(count)[:, None] / count * np.array([4.0, 0, 0, 0, 0]) + rng.normal(size=(count, 5))
    ),
    "one outlier block": lambda rng, count: (
        rng.normal(size=(count, 5)) + 30 * (np.arange(count)[:, None] == 4) * np.array([0, 1.0, 0, 0, 0])
    ),
}


def dependent(repetitions=100):
    """Daily blocks whose means depend on each other: what is said of the next block, and of the sixth."""
    print("\nCalibrated on blocks of 5,000 rows, 5 columns, means move by .1 sd; a quiet block 1 and 6 on")
    print(f"{'history':>20}{'blocks':>8}{'flagged':>16}{'inconclusive':>16}{'1 sd found':>12}")
    for name, means in HISTORIES.items():
        for blocks in (10, 21, 42):
            rng, hits = np.random.default_rng(blocks), np.zeros(5)
            for _ in range(repetitions):
                place = 0.1 * means(rng, blocks + 6)
                made = [profile(5_000, [rng.multinomial(5_000, numbers(m)) for m in row]) for row in place]
                shifted = place[blocks] + np.array([1.0, 0, 0, 0, 0])
                last = profile(5_000, [rng.multinomial(5_000, numbers(m)) for m in shifted])
                history = made[:blocks]
                reference, calibration = merge(*history), calibrate(history)
                said = [
                    compare_profiles(reference, block, None, calibration)
                    for block in (made[blocks], made[blocks + 5], last)
                ]
                loud = [bool(report.skewed_columns) for report in said[:2]]
                unsure = [any(test.doubt for test in report.tests) for report in said[:2]]
                hits += [*loud, *unsure, "c0" in said[2].skewed_columns]
            near, far, unsure, later, found = hits / repetitions
            print(f"{name:>20}{blocks:>8}{near:>8.0%}{far:>8.0%}{unsure:>8.0%}{later:>8.0%}{found:>12.0%}")


def speed():
    rng = np.random.default_rng(0)
    one, other = (wide(profile(10**5, draw(rng, 10**5, 100))) for _ in range(2))
    print(f"\nCompare two profiles of {len(one.columns):,} columns (half numbers in 65 bins), CPU seconds")
    for numeric, category in ((Distance.KS, Distance.TOTAL_VARIATION), (Distance.WASSERSTEIN, Distance.PSI)):
        began = time.process_time()
        report = compare_profiles(one, other, SkewPolicy(numeric=numeric, category=category))
        seconds = time.process_time() - began
        print(f"  {numeric} and {category}: {seconds:.1f} s, {len(report.tests):,} tests")


def wide(narrow):
    copies = (replace(c, name=f"{c.name}-{i}") for i in range(100) for c in narrow.columns)
    return replace(narrow, columns=tuple(copies))


def main():
    began = time.process_time()
    simulated()
    ordered()
    swaying()
    long_tails()
    dependent()
    flights()
    speed()
    print(f"\n{time.process_time() - began:.0f} CPU seconds")


if __name__ == "__main__":
    main()
