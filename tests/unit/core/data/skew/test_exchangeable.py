"""A broken assumption of block calibration is found and named; it makes no column quiet."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.core.data.profile.profile import merge
from airflow_mlops.core.data.skew.calibration import calibrate
from airflow_mlops.core.data.skew.compare import compare_profiles
from airflow_mlops.core.data.skew.policy import HIGHEST_CALIBRATED, ColumnLimits, SkewCalibration, SkewPolicy
from airflow_mlops.core.data.skew.report import SkewReport
from airflow_mlops.core.verdict import Outcome

ROWS = 500


def block(rng, number, **means):
    """Rows of one block: a counter, a number, and one that may be missing."""
    columns = {"id": np.arange(number * ROWS, (number + 1) * ROWS)}
    for name in ("x", "y", "z"):
        columns[name] = rng.normal(means.get(name, 0.0), 1, ROWS)
    return pa.table(columns)


def judged(history, current, policy=None):
    blocks = [profile_table(table) for table in history]
    calibration = calibrate(blocks, policy=policy)
    return calibration, compare_profiles(merge(*blocks), profile_table(current), policy, calibration)


def test_counter_is_named_and_blinds_no_other_column():
    rng = np.random.default_rng(0)
    history = [block(rng, i) for i in range(8)]
    broken = block(rng, 8, x=1.0)
    lost = pa.array(broken.column("y").to_numpy(), mask=rng.random(ROWS) < 0.49)
    broken = broken.set_column(2, "y", lost)
    calibration, report = judged(history, broken)
    assert set(calibration.not_exchangeable) == {"id"}
    assert set(report.skewed_columns) == {"x", "y"}
    assert any("id: most blocks are unlike the others" in note for note in report.notes)
    _, quiet = judged(history, block(rng, 8))
    assert quiet.verdict.outcome is Outcome.INCONCLUSIVE
    assert "id: cannot be calibrated on blocks" in quiet.verdict.reasons[0]
    assert [test.answer for test in quiet.tests if test.column == "id"] == ["inconclusive", "quiet"]


def test_counter_that_is_ignored_or_has_a_threshold_leaves_a_clear_answer():
    rng = np.random.default_rng(1)
    history = [block(rng, i) for i in range(8)]
    for policy in (SkewPolicy(ignore=("id",)), SkewPolicy(columns={"id": ColumnLimits(threshold=0.99)})):
        _, report = judged(history, block(rng, 8), policy)
        assert report.verdict.outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("means", "why"),
    [
        (np.arange(20) * 0.05, "rise with time"),
        (-np.arange(20) * 0.05, "fall with time"),
        (np.sin(np.arange(20) * 0.8) * 0.4, "neighbouring blocks are alike"),
    ],
)
def test_trend_and_wandering_are_named(means, why):
    rng = np.random.default_rng(2)
    history = [block(rng, i, x=mean).drop(["id"]) for i, mean in enumerate(means)]
    calibration, report = judged(history, block(rng, 20, x=means[-1], y=1.0).drop(["id"]))
    assert why in calibration.not_exchangeable["x"]
    assert set(calibration.not_exchangeable) == {"x"}
    assert report.skewed_columns == ("y",)


def test_exchangeable_history_gives_clear_answers():
    clear, named = 0, 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        history = [block(rng, i, x=rng.normal(0, 0.1), y=rng.normal(0, 0.2)).drop(["id"]) for i in range(20)]
        calibration, report = judged(history, block(rng, 20).drop(["id"]))
        named += bool(calibration.not_exchangeable)
        clear += report.verdict.outcome is Outcome.PASS
    assert named <= 3
    assert clear >= 16


def test_one_block_unlike_all_others_is_left_out_and_named():
    rng = np.random.default_rng(3)
    history = [block(rng, i, x=3.0 * (i == 4)).drop(["id"]) for i in range(10)]
    calibration, report = judged(history, block(rng, 10, y=1.0).drop(["id"]))
    assert (calibration.left_out, calibration.blocks) == (("number 5",), 9)
    assert report.skewed_columns == ("y",)
    assert any("number 5 is unlike all others" in note for note in report.notes)


def test_threshold_above_the_ceiling_is_no_pass():
    rng = np.random.default_rng(4)
    means = [0, 2, 0, 0, 2, 0, 2, 0, 0, 2]
    history = [block(rng, i, x=mean).drop(["id"]) for i, mean in enumerate(means)]
    calibration, report = judged(history, block(rng, 10, x=1.0).drop(["id"]))
    assert calibration.threshold("x", "ks") > HIGHEST_CALIBRATED
    assert report.verdict.outcome is Outcome.INCONCLUSIVE
    assert any("allowed: up to 0.3" in reason for reason in report.verdict.reasons)


def test_doubts_survive_json():
    rng = np.random.default_rng(5)
    calibration, report = judged([block(rng, i) for i in range(8)], block(rng, 8))
    assert SkewCalibration.from_json(calibration.to_json()) == calibration
    assert SkewReport.from_json(report.to_json()) == report
