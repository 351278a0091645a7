from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from airflow_mlops.core.data.profile.column import Column, Kind
from airflow_mlops.core.data.profile.profile import Profile, merge
from airflow_mlops.core.data.skew.calibration import LEAST_BLOCKS, calibrate
from airflow_mlops.core.data.skew.compare import compare_profiles
from airflow_mlops.core.data.skew.policy import ColumnLimits, Distance, SkewPolicy
from airflow_mlops.core.errors import InvalidConfigError

EDGES = (-1.0, 0.0, 1.0)


def block(rng, rows=2000, columns=6, sway=0.0, nulls=0.0):
    """A block whose numbers and categories sway as a whole: rows of one block are alike."""
    parts = []
    for i in range(columns):
        tilt = np.exp(sway * (i + 1) * rng.normal() * np.array([-1.0, 0.0, 0.5, 1.0]))
        counts = rng.multinomial(rows, tilt / tilt.sum()).tolist()
        known = {"name": f"c{i}", "nulls": int(rng.binomial(rows, nulls))}
        if i % 2:
            named = dict(zip("abcd", counts, strict=True))
            parts.append(Column(kind=Kind.STRING, arrow_type="string", categories=named, **known))
        else:
            bins = {"edges": EDGES, "counts": tuple(counts)}
            parts.append(Column(kind=Kind.NUMBER, arrow_type="double", **bins, **known))
    return Profile(rows=rows, columns=tuple(parts))


def blocks(seed, count, **more):
    rng = np.random.default_rng(seed)
    return [block(rng, **more) for _ in range(count)]


def flagged(history, fresh, **more):
    calibration = calibrate(history, **more)
    return compare_profiles(merge(*history), fresh, None, calibration).skewed_columns


def test_with_too_few_blocks_the_defaults_hold_and_the_report_says_so():
    history = blocks(0, LEAST_BLOCKS - 1, sway=0.1)
    calibration = calibrate(history)
    assert (calibration.limits, calibration.error) == ({}, 1.0)
    report = compare_profiles(merge(*history), history[0], None, calibration)
    assert {test.source for test in report.tests} == {"default"}
    assert report.notes == ("not calibrated: 5 blocks of history, 6 needed; the defaults hold",)


def test_swaying_columns_get_wider_thresholds_and_quiet_history_the_floor():
    swaying, still = calibrate(blocks(1, 20, sway=0.1)), calibrate(blocks(1, 20, rows=200_000))
    assert swaying.threshold("c4", "ks") > swaying.threshold("c0", "ks") > 0.01
    assert still.threshold("c0", "ks") == 0.01
    assert calibrate(blocks(1, 20, rows=200_000), floor=0.03).threshold("c0", "ks") == 0.03
    assert all(limit < 1 for tests in swaying.limits.values() for limit in tests.values())


def test_report_says_where_thresholds_come_from_and_own_limits_win():
    history = blocks(2, 20, sway=0.1)
    policy = SkewPolicy(columns={"c0": ColumnLimits(threshold=0.5)})
    report = compare_profiles(merge(*history), history[0], policy, calibrate(history, policy=policy))
    sources = {(test.column, test.effect.name): test.source for test in report.tests}
    assert sources[("c0", "ks")] == "configured"
    assert sources[("c2", "ks")] == "calibrated on 20 blocks"
    assert "the next quiet block has a flagged column with a chance of at most 4.8%" in report.notes[0]


def test_calibrated_threshold_of_another_distance_is_not_used():
    calibration = calibrate(blocks(3, 8, sway=0.1))
    report = compare_profiles(*blocks(4, 2), SkewPolicy(numeric=Distance.WASSERSTEIN), calibration)
    sources = {test.effect.name: test.source for test in report.tests}
    assert sources["wasserstein"] == "default"
    assert sources["total_variation"] == "calibrated on 8 blocks"


def test_column_that_some_blocks_lack_is_named():
    history = blocks(5, 8)
    history[3] = Profile(rows=2000, columns=history[3].columns[1:])
    calibration = calibrate(history)
    assert calibration.not_calibrated == ("c0",)
    report = compare_profiles(history[0], history[1], None, calibration)
    assert report.notes[1].endswith("not calibrated: c0")


def test_drift_beyond_what_is_usual_is_found():
    history = blocks(6, 20, sway=0.02)
    rng = np.random.default_rng(7)
    assert flagged(history, block(rng, rows=20_000, sway=0.02)) == ()
    assert "c1" in flagged(history, block(rng, rows=20_000, columns=6, sway=2.0))
    assert "c0" in flagged(history, block(rng, rows=20_000, sway=0.02, nulls=0.1))


def test_stated_error_follows_quantile_and_number_of_blocks():
    history = blocks(9, 20)
    assert calibrate(history, quantile=0.95).error == pytest.approx(1 / 21)
    assert calibrate(history, quantile=0.8).error == pytest.approx(1 - 17 / 21)
    assert calibrate(history[:6]).error == pytest.approx(1 / 7)


@pytest.mark.parametrize("wrong", [{"quantile": 1.0}, {"quantile": 0.0}, {"floor": -0.1}, {"floor": 1.0}])
def test_quantile_or_floor_that_cannot_be_meant_is_refused(wrong):
    with pytest.raises(InvalidConfigError, match="calibration"):
        calibrate(blocks(9, 8), **wrong)


def test_columns_all_ignored_calibrate_nothing():
    names = tuple(f"c{i}" for i in range(6))
    assert calibrate(blocks(10, 8), policy=SkewPolicy(ignore=names)).limits == {}


@pytest.mark.slow
@pytest.mark.parametrize(("count", "rows"), [(19, 500), (19, 20_000), (8, 20_000)])
def test_further_quiet_blocks_are_flagged_no_more_often_than_stated(count, rows):
    """Blocks sway as a whole, more in some columns: rows of a block are far from independent."""
    repetitions, hits, uncalibrated = 200, 0, 0
    for seed in range(repetitions):
        *history, fresh = blocks(seed, count + 1, rows=rows, sway=0.08)
        hits += bool(flagged(history, fresh))
        uncalibrated += bool(compare_profiles(merge(*history), fresh).skewed_columns)
    stated = 1 / (count + 1)
    assert hits / repetitions <= stated + 2 * (stated * (1 - stated) / repetitions) ** 0.5
    if rows > 500:
        assert uncalibrated / repetitions > 0.5  # the defaults alone would call usual sway skew


def with_odd_blocks(*odd, rows=20_000):
    """Twenty-one blocks that sway a little; in some columns one block has other shares, by .04."""
    history = blocks(3, 21, rows=rows, sway=0.01)
    shares = tuple(int(share * rows) for share in (0.29, 0.25, 0.23, 0.23))
    for number, column in enumerate(odd):
        place = 3 + 4 * number
        usual = history[place].columns[column]
        held = {"categories": dict(zip("abcd", shares, strict=True))} if column % 2 else {"counts": shares}
        columns = list(history[place].columns)
        columns[column] = replace(usual, **held)
        history[place] = replace(history[place], columns=tuple(columns))
    return history


def test_odd_block_in_one_column_does_not_widen_the_thresholds_of_the_others():
    usual, odd, two = (calibrate(with_odd_blocks(*which)) for which in ((), (0,), (0, 1)))
    assert (usual.apart, odd.apart, two.apart) == ((), ("c0",), ("c0",))  # c1's own threshold holds its block
    tests = {(name, test) for name in ("c3", "c4", "c5") for test in usual.limits[name]}
    for found in (odd, two):
        assert all(found.threshold(*key) <= 1.3 * usual.threshold(*key) for key in tests)
        assert not found.left_out
    assert odd.error == pytest.approx(2 / 22)
    assert odd.threshold("c0", "ks") > 1.5 * usual.threshold("c0", "ks")
    again = with_odd_blocks(0)[3]
    report = compare_profiles(merge(*with_odd_blocks(0)), again, None, odd)
    assert "c0" not in report.skewed_columns
    assert any("one block of c0 is unlike the others" in note for note in report.notes)


def test_sentence_names_its_horizon():
    few, many = (calibrate(blocks(9, count)).sentence for count in (8, 42))
    assert "the next quiet block has a flagged column with a chance of at most 11.1%" in few
    assert "the sixth one up to 70%" in few
    assert "the sixth one up to 5%" in many
    assert "calibrate again with the newest blocks" in few
