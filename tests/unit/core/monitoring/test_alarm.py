from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from airflow_mlops.core.monitoring.alarm import Alarm, JudgedWindow, conclude, judge_windows
from airflow_mlops.core.monitoring.performance import Measurement, Promise
from airflow_mlops.core.monitoring.performance_policy import PerformancePolicy
from airflow_mlops.core.verdict import Finding, Outcome, Verdict

sys.path.insert(0, str(Path(__file__).parents[4] / "benchmarks"))
from monitoring import PROMISES, STREAMS, delays, false_alarms

QUIET = [one for one in STREAMS if not one.effect]
POLICY = PerformancePolicy(metric="roc_auc", max_drop=0.02)
ERROR = 0.014


def promise(value=0.85, error=ERROR, **more):
    return Promise(value=value, lower=value - 1.6449 * error, upper=value + 1.6449 * error, **more)


def windows(values, error=ERROR, units=200):
    return [
        JudgedWindow(partition=f"w{number:03}", value=float(value), error=error, units=units, rows=2000)
        for number, value in enumerate(values)
    ]


def p_value(values, promised=None, policy=POLICY, **more):
    return judge_windows(windows(values, **more), promised or promise(), policy).p_value


def test_one_window_that_is_worse_raises_no_alarm_and_several_do():
    assert p_value([0.815]) > 0.05
    alarm = judge_windows(windows([0.81] * 4), promise(), POLICY)
    assert alarm.p_value < 0.05
    assert (alarm.windows, alarm.since, round(alarm.drop, 6), round(alarm.mean, 6)) == (4, "w000", 0.04, 0.81)


def test_champion_as_promised_is_no_evidence_however_many_windows_come():
    assert p_value([0.85] * 500) == 1.0
    assert p_value([0.84] * 500) == 1.0  # half of what is allowed


def test_late_drop_is_dated_and_is_compared_with_the_quiet_windows_too():
    values = [0.85] * 30 + [0.80] * 4
    alarm = judge_windows(windows(values), promise(), POLICY)
    assert (alarm.p_value < 0.05, alarm.since) == (True, "w030")
    assert p_value(values[30:], promise(error=0.03)) > 0.05  # an uncertain promise alone would not tell
    assert p_value(values, promise(error=0.03)) < 0.05


def test_windows_better_than_promised_do_not_raise_the_promise():
    assert p_value([0.90] * 30 + [0.845] * 10) == 1.0


@pytest.mark.parametrize("order", ["as they come", "late ones last"])
def test_windows_are_in_the_order_of_their_keys(order):
    kept = windows([0.85] * 10 + [0.80] * 4)
    if order == "late ones last":
        kept = [*kept[5:], *kept[:5]]
    assert judge_windows(kept, promise(), POLICY).since == "w010"


def test_window_that_is_judged_twice_counts_once_and_its_last_judgement_holds():
    kept = windows([0.80] * 3)
    again = replace(kept[0], value=0.85)
    assert judge_windows([*kept, again], promise(), POLICY) == judge_windows(
        [again, *kept[1:]], promise(), POLICY
    )
    assert judge_windows([*kept, *kept, *kept], promise(), POLICY) == judge_windows(kept, promise(), POLICY)


def test_inconclusive_windows_are_counted_and_add_nothing():
    kept = windows([0.82] * 3)
    alarm = judge_windows([*kept, JudgedWindow(partition="w9")], promise(), POLICY)
    assert (alarm.windows, alarm.inconclusive) == (3, 1)
    assert alarm.p_value == judge_windows(kept, promise(), POLICY).p_value
    assert judge_windows([JudgedWindow(partition="w9")], promise(), POLICY) == Alarm(
        windows=0, inconclusive=1
    )


def test_measurement_that_does_not_count_is_kept_without_its_value():
    seen = Measurement(metric="roc_auc", value=0.8, lower=0.7, upper=0.9, promised=0.8, rows=100, error=0.05)
    assert JudgedWindow.of("a", seen) == JudgedWindow.of("a", None) == JudgedWindow(partition="a")
    kept = JudgedWindow.of("a", replace(seen, counts=True, units=30))
    assert (kept.value, kept.error, kept.units, kept.rows) == (0.8, 0.05, 30, 100)


def test_loss_that_rises_is_a_drop():
    policy = PerformancePolicy(metric="rmse", max_drop=0.05)
    assert p_value([1.12] * 4, promise(1.0), policy) < 0.05
    assert p_value([0.88] * 4, promise(1.0), policy) == 1.0


def test_windows_that_differ_beyond_chance_are_weaker_evidence():
    steady, restless = [0.81] * 8, [0.86, 0.76] * 4
    assert p_value(restless) > p_value(steady)


def test_promise_without_bounds_is_taken_to_be_as_sure_as_so_many_rows_in_production():
    values, unknown = [0.81] * 4, {"value": 0.85}
    few, many = (p_value(values, Promise(**unknown, rows=rows)) for rows in (500, 50_000))
    assert many < p_value(values, Promise(**unknown)) < few
    assert p_value(values, Promise(**unknown, rows=2000)) == pytest.approx(p_value(values), rel=1e-3)


def test_allowed_drop_of_nothing_is_found_and_equal_windows_are_not():
    policy = PerformancePolicy(metric="roc_auc", max_drop=0.0)
    assert p_value([0.78] * 6, policy=policy) < 0.05
    assert p_value([0.85] * 200, policy=policy) == 1.0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("error", [0.0, 0.01, 100.0])
@pytest.mark.parametrize(
    "promised", [promise(error=0.0), promise(0.0), Promise(value=0.85), promise(alpha=0.5)]
)
@pytest.mark.parametrize(("values", "alarms"), [([0.85] * 3, False), ([0.95] * 3, False), ([-1e6] * 5, True)])
def test_extreme_windows_and_promises_give_a_probability(values, alarms, promised, error):
    p = p_value(values, promised, error=error)
    assert 0 <= p <= 1
    assert (p < 0.05) is alarms


@pytest.mark.parametrize(("error", "allowed"), [(0.014, 0.02), (0.03, 0.02), (0.005, 0.02), (0.014, 0.05)])
def test_p_value_bounds_how_often_an_unchanged_champion_ever_shows_as_much(error, allowed):
    """Normal windows: of 400 champions at most 5 % fall below .05, at most 20 % below .2, in 60 windows."""
    rng, champions = np.random.default_rng(1), 400
    policy, least = PerformancePolicy(metric="roc_auc", max_drop=allowed), []
    for _ in range(champions):
        promised = promise(0.85 + rng.normal(0, error), error)
        kept = windows(0.85 + rng.normal(0, ERROR, 60))
        least.append(min(judge_windows(kept[:n], promised, policy).p_value for n in range(1, 61, 2)))
    for level in (0.05, 0.2):
        assert (np.array(least) <= level).mean() <= stats.binom.ppf(0.99, champions, level) / champions


def judged(outcome):
    one = Finding(check="performance", subject="roc_auc", outcome=outcome, reason="a window")
    return Verdict.of("performance", [one])


@pytest.mark.parametrize(
    ("window", "p", "outcome"),
    [
        (Outcome.FAIL, 0.4, Outcome.WARN),
        (Outcome.FAIL, 0.01, Outcome.FAIL),
        (Outcome.PASS, 0.01, Outcome.FAIL),
        (Outcome.PASS, 0.4, Outcome.PASS),
        (Outcome.INCONCLUSIVE, 0.4, Outcome.INCONCLUSIVE),
    ],
)
def test_only_all_windows_together_call_a_champion_degraded(window, p, outcome):
    alarm = Alarm(windows=4, inconclusive=2, p_value=p, since="w2", drop=0.03, mean=0.82)
    verdict = conclude(judged(window), alarm, promise(), POLICY)
    assert verdict.outcome is outcome
    assert verdict.findings[0].reason == "a window"
    assert verdict.findings[1].reason == (
        "4 windows (2 more were inconclusive): roc_auc 0.8200 from w2 on, worse than validation by +0.0300, "
        f"allowed drop 0.02; a champion that never changed ever shows as much with probability {p:g}, "
        "alarm at 0.05"
    )


def test_no_window_that_counts_is_inconclusive():
    verdict = conclude(judged(Outcome.INCONCLUSIVE), Alarm(windows=0, inconclusive=3), promise(), POLICY)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "no window of this champion counts (3 more were inconclusive)" in verdict.reasons


@pytest.mark.slow
@pytest.mark.parametrize("stream", QUIET, ids=[one.name for one in QUIET])
def test_champion_that_never_changes_alarms_within_a_hundred_windows_at_most_alpha_of_the_time(stream):
    """All the way from labels and scores; 250 champions draw their windows from 300 judged ones."""
    pool, champions = stream.windows(np.random.default_rng(7), 300), 250
    for rows in PROMISES:
        ours, _ = false_alarms(stream, rows, champions, pool)
        assert ours <= stats.binom.ppf(0.99, champions, 0.05) / champions


@pytest.mark.slow
def test_drop_of_twice_the_allowed_one_is_found_in_a_median_of_four_windows():
    stream, rng = STREAMS[0], np.random.default_rng(7)
    quiet, bad = stream.windows(rng, 300), stream.windows(rng, 300, 2 * stream.drop)
    assert np.median(delays(stream, 2000, 300, [], bad)) <= 4
    assert np.median(delays(stream, 2000, 100, quiet, bad)) <= 8
