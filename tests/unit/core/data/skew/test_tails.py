"""Long tails are not drift; values all replaced are; of what nothing can be told is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from long_tails import compared, draw, even, profiled, zipf

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.core.data.profile.profile import Profile, merge
from airflow_mlops.core.data.skew.calibration import calibrate
from airflow_mlops.core.data.skew.compare import compare_profiles
from airflow_mlops.core.data.skew.policy import Distance, SkewPolicy
from airflow_mlops.core.data.skew.report import SkewReport
from airflow_mlops.core.verdict import Outcome

POPULATIONS = {
    "words": zipf(100_000, 1.1),
    "few words": zipf(200),
    "names": even(1000),
    "many names": zipf(10_000, 0.5),
    "one in three twice": even(3000),
}
REPETITIONS, MOST = 40, 7
"""Of 40 windows with a false alarm chance of 5 % each, more than 7 alarm with a chance of 0.1 %."""


def alarms(shares, sizes, repetitions=REPETITIONS, distance=Distance.TOTAL_VARIATION):
    rng, policy = np.random.default_rng(sum(sizes)), SkewPolicy(category=distance)
    reports = (compared(*(draw(rng, shares, n) for n in sizes), policy) for _ in range(repetitions))
    return sum(bool(report.skewed_columns) for report in reports)


@pytest.mark.parametrize("shares", POPULATIONS.values(), ids=POPULATIONS)
@pytest.mark.parametrize("sizes", [(500, 500), (2000, 2000), (4000, 500)])
def test_two_random_samples_of_a_long_tail_are_flagged_at_most_alpha_of_the_time(shares, sizes):
    assert alarms(shares, sizes) <= MOST


@pytest.mark.parametrize("distance", [d for d in Distance if not d.needs_order])
def test_every_distance_of_categories_holds_for_a_long_tail(distance):
    assert alarms(POPULATIONS["words"], (2000, 2000), distance=distance) <= MOST


@pytest.mark.slow
@pytest.mark.parametrize("shares", [*POPULATIONS.values(), even(200_000)], ids=[*POPULATIONS, "keys"])
@pytest.mark.parametrize("sizes", [(10_000, 10_000), (50_000, 50_000), (50_000, 500), (40_000, 40_000)])
def test_large_random_samples_of_a_long_tail_are_flagged_at_most_alpha_of_the_time(shares, sizes):
    assert alarms(shares, sizes) <= MOST


def with_new(rng, numbers, share):
    return np.where(rng.random(len(numbers)) < share, 200_000, numbers)


def swapped(_rng, numbers, _share):
    return np.select([numbers == 0, numbers == 1], [1, 0], numbers)


def spread_out(rng, numbers, share):
    moved = (numbers < 10) & (rng.random(len(numbers)) < share)
    return np.where(moved, rng.integers(10, 200, len(numbers)), numbers)


@pytest.mark.parametrize("population", ["words", "few words"])
@pytest.mark.parametrize(("change", "share"), [(with_new, 0.05), (swapped, 1), (spread_out, 0.5)])
def test_true_changes_are_found_in_a_long_tail(population, change, share):
    found, shares = 0, POPULATIONS[population]
    for seed in range(10):
        rng = np.random.default_rng(seed)
        reference, current = (draw(rng, shares, 4000) for _ in range(2))
        found += bool(compared(reference, change(rng, current, share)).skewed_columns)
    assert found >= 9


def test_new_value_is_found_and_named_where_no_value_is_frequent():
    rng = np.random.default_rng(1)
    reference, current = (draw(rng, even(10_000), 10_000) for _ in range(2))
    report = compared(reference, with_new(rng, current, 0.05))
    assert report.verdict.reasons[0].endswith("new: 'v200000'")
    assert [test.effect.name for test in report.tests if test.skewed] == ["new_categories"]


@pytest.mark.parametrize("values", [50, 300, 1000, 3000, 20_000])
def test_all_values_replaced_is_skew_however_many_there_are(values):
    rng = np.random.default_rng(2)
    reference, current = (draw(rng, even(values), 30_000) for _ in range(2))
    report = compared(reference, current, prefix="CH-")
    assert report.verdict.outcome is Outcome.FAIL
    test = next(test for test in report.tests if test.effect.name == "new_categories")
    assert test.effect.lower > 0.5


def test_change_among_values_none_of_which_is_frequent_is_found():
    rng = np.random.default_rng(3)
    reference, current = (draw(rng, even(3000), 40_000) for _ in range(2))
    assert compared(reference, current // 2 * 2).skewed_columns == ("c",)


def keys(rows, first=0):
    return profile_table(pa.table({"key": [f"u{first + i}" for i in range(rows)], "x": [1.0] * rows}))


@pytest.mark.parametrize("rows", [60, 3000, 40_000])
def test_identifiers_are_named_and_alarm_nobody(rows):
    known = keys(rows)
    table = pa.table({"key": [f"u{rows + i}" for i in range(rows)], "x": [1.0] * rows})
    report = compare_profiles(known, profile_table(table, bins_from=known))
    assert report.verdict.outcome is Outcome.PASS
    assert report.identifiers == ("key",)
    assert {t.effect.name for t in report.tests if t.column == "key"} == {"null_share"}
    assert "key: nearly every value occurs once" in report.notes[-1]
    assert SkewReport.from_json(report.to_json()) == report
    lost = profile_table(pa.table({"key": ["unknown"] * rows, "x": [1.0] * rows}), bins_from=known)
    assert compare_profiles(known, lost).skewed_columns == ("key",)


def without_sample(profile):
    columns = (replace(column, value_sample={}, value_hash="") for column in profile.columns)
    return Profile(rows=profile.rows, columns=tuple(columns))


def test_values_that_cannot_be_compared_are_no_pass():
    rng = np.random.default_rng(4)
    known = profiled(draw(rng, even(3000), 40_000))
    now = profiled(draw(rng, even(3000), 40_000), known)
    for pair in ((without_sample(known), now), (known, without_sample(now))):
        report = compare_profiles(*pair)
        assert report.verdict.outcome is Outcome.INCONCLUSIVE
        assert report.not_compared == ("c",)
        assert "c: not comparable: most values are too rare" in report.verdict.reasons[0]
    other = Profile(rows=now.rows, columns=tuple(replace(c, value_hash="md5") for c in now.columns))
    assert "the profiles are of different engines" in compare_profiles(known, other).verdict.reasons[0]


def test_blocks_of_a_long_tail_are_calibrated_and_a_replaced_one_is_found():
    rng = np.random.default_rng(5)
    shares = zipf(5000)
    blocks = [profiled(draw(rng, shares, 2000))]
    blocks += [profiled(draw(rng, shares, 2000), blocks[0]) for _ in range(7)]
    known, calibration = merge(*blocks), calibrate(blocks)
    assert max(calibration.limits["c"].values()) < 0.1
    quiet = profiled(draw(rng, shares, 2000), known)
    assert compare_profiles(known, quiet, None, calibration).skewed_columns == ()
    replaced = profiled(draw(rng, shares, 2000), known, prefix="w")
    assert compare_profiles(known, replaced, None, calibration).skewed_columns == ("c",)


def test_repeated_rows_of_entities_leave_more_unseen():
    """Each of 400 entities stays with one value and has ten rows."""
    policy, hits = SkewPolicy(rows_per_entity=10), 0
    for seed in range(REPETITIONS):
        rng = np.random.default_rng(seed)
        sides = (np.repeat(draw(rng, POPULATIONS["words"], 400), 10) for _ in range(2))
        hits += bool(compared(*sides, policy).skewed_columns)
    assert hits <= MOST


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ([0, 1, 9], "values above 2 to 9"),
        ([-5, 1, 2], "values from -5 to below 0"),
        ([0, 1, float("inf")], "infinity"),
    ],
)
def test_new_values_that_are_named_are_new(now, said):
    known = profile_table(pa.table({"x": pa.array([0.0, 1.0, 2.0] * 300)}))
    table = pa.table({"x": pa.array([float(v) for v in now] * 300)})
    sentences = compare_profiles(known, profile_table(table, bins_from=known)).verdict.reasons
    assert next(s for s in sentences if "new categories" in s).endswith(f"; new: {said}")


def test_new_datetimes_are_named_as_dates():
    days = pa.array([0, 1], pa.int32()).cast(pa.date32())
    later = pa.array([0, 14_975], pa.int32()).cast(pa.date32())
    known = profile_table(pa.table({"day": pa.concat_arrays([days] * 300)}))
    now = profile_table(pa.table({"day": pa.concat_arrays([later] * 300)}), bins_from=known)
    sentences = compare_profiles(known, now).verdict.reasons
    assert any(s.endswith("new: values above 1970-01-02 to 2011-01-01") for s in sentences)
