from __future__ import annotations

import json
import time

import numpy as np
import pyarrow as pa
import pytest
from drifting import compared, frame, skewed

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.core.data.profile.column import Column, Kind
from airflow_mlops.core.data.profile.profile import Profile
from airflow_mlops.core.data.skew.compare import DISTRIBUTIONS_KEPT, compare_profiles, with_multivariate
from airflow_mlops.core.data.skew.policy import ColumnLimits, Distance, Role, SkewPolicy
from airflow_mlops.core.data.skew.report import MultivariateResult, SkewReport
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.verdict import Outcome


@pytest.mark.parametrize(
    ("drift", "column"),
    [({"shift": 0.1}, "x"), ({"mix": 0.05}, "c"), ({"nulls": 0.05}, "x"), ({"new": 0.03}, "c")],
    ids=["mean", "mix", "nulls", "new category"],
)
def test_drift_is_found_in_its_column_and_said_in_words(drift, column):
    report = compared(1, 100_000, **drift)
    assert skewed(report) == {column}
    assert report.verdict.outcome is Outcome.FAIL
    assert report.verdict.reasons[0].startswith(f"{column}: ")


def test_no_drift_is_quiet():
    report = compared(2, 10_000)
    assert report.verdict.outcome is Outcome.PASS
    assert len(report.tests) == 10 + 5 + 5 + 5  # null shares, numbers, categories, new categories


def test_small_change_that_is_sure_but_allowed_is_quiet():
    rng = np.random.default_rng(3)
    reference = profile_table(frame(rng, 200_000))
    current = profile_table(frame(rng, 200_000, shift=0.05), bins_from=reference)
    assert skewed(compare_profiles(reference, current)) == {"x"}
    assert skewed(compare_profiles(reference, current, SkewPolicy(ks=0.05))) == set()


def test_column_without_a_counterpart_is_named_not_passed_over():
    reference = profile_table(pa.table({"x": [1.0] * 50, "k": [1.0] * 50}))
    current = profile_table(pa.table({"x": [1.0] * 50, "k": ["a"] * 50, "y": [1.0] * 50}))
    report = compare_profiles(reference, current)
    assert report.not_compared == ("k", "y")
    assert report.verdict.reasons == (
        "k: string in this window, number in the reference: not compared",
        "y: in this window, not in the reference: not compared",
    )


def test_nothing_in_common_is_inconclusive_or_worse_never_a_pass():
    reference, current = (profile_table(pa.table({name: [1.0] * 50})) for name in "ab")
    assert compare_profiles(reference, current).verdict.outcome is not Outcome.PASS


def test_column_that_only_the_reference_has_is_named():
    reference = profile_table(pa.table({"x": [1.0] * 50, "label": [1.0] * 50}))
    report = compare_profiles(reference, profile_table(pa.table({"x": [1.0] * 50})))
    assert report.verdict.outcome is Outcome.WARN
    assert report.verdict.reasons == ("label: in the reference, not in this window: not compared",)


def test_unknown_category_is_named_in_the_sentence():
    rng = np.random.default_rng(4)
    reference = profile_table(frame(rng, 20_000))
    report = compare_profiles(reference, profile_table(frame(rng, 20_000, new=0.05), bins_from=reference))
    sentences = [test.sentence for test in report.tests if test.skewed]
    assert any("new categories moved by 0.050" in s and s.endswith("new: 'z'") for s in sentences)


@pytest.mark.parametrize(
    ("before", "now", "share"),
    [
        ([5.0], [7.0], 1.0),
        ([0, 1], [0, 2], 0.5),
        ([0, 1, 1, 1], [0, 1, 1, float("inf")], 0.25),
        ([1, 2, 4], [1, 2, 3], 1 / 3),
        ([0, 1], [0, -1], 0.5),
        ([1e9, 1e9 + 1], [1e9, 1e9 + 2], 0.5),
    ],
    ids=["constant", "flag", "infinite", "between", "below", "large"],
)
def test_new_value_of_a_column_with_few_values_is_found_though_its_cell_is_not_new(before, now, share):
    reference, same, current = (
        pa.table({"x": pa.array(values * 600, pa.float64())}) for values in (before, before, now)
    )
    known = profile_table(reference)
    assert skewed(compare_profiles(known, profile_table(same, bins_from=known))) == set()
    report = compare_profiles(known, profile_table(current, bins_from=known))
    test = next(t for t in report.tests if t.effect.name == "new_categories")
    assert test.skewed
    assert test.effect.value == pytest.approx(share)


def test_categories_in_other_cells_are_compared_by_name():
    reference = profile_table(pa.table({"c": ["a"] * 600 + ["b"] * 400}))
    current = profile_table(pa.table({"c": ["b"] * 400 + ["a"] * 500 + ["z"] * 100}))
    tests = {test.effect.name: test for test in compare_profiles(reference, current).tests}
    assert tests["new_categories"].effect.value == pytest.approx(0.1)
    assert tests["total_variation"].effect.value == pytest.approx(0.1)


def policy_compared(policy, **drift):
    rng = np.random.default_rng(5)
    reference = profile_table(frame(rng, 20_000))
    return compare_profiles(
        reference, profile_table(frame(rng, 20_000, **drift), bins_from=reference), policy
    )


@pytest.mark.parametrize("distance", Distance)
def test_column_is_judged_by_the_distance_and_threshold_it_was_given(distance):
    loose = SkewPolicy(columns={"x": ColumnLimits(distance=distance, threshold=0.9)})
    strict = SkewPolicy(columns={"x": ColumnLimits(distance=distance)})
    assert skewed(policy_compared(strict, shift=0.5)) == {"x"}
    report = policy_compared(loose, shift=0.5)
    assert skewed(report) == set()
    test = next(t for t in report.tests if (t.column, t.effect.name) == ("x", distance))
    assert (test.threshold, test.source) == (0.9, "configured")


def test_roles_are_reported():
    report = policy_compared(SkewPolicy(labels=("c",), predictions=("x",)))
    roles = {test.column: test.role for test in report.tests}
    assert (roles["c"], roles["x"], roles["calm0"]) == (Role.LABEL, Role.PREDICTION, Role.FEATURE)


def test_names_the_policy_got_wrong_are_said_and_never_a_pass():
    limits = {"quiet00": ColumnLimits(threshold=0.1), "c": ColumnLimits(distance=Distance.KS)}
    report = policy_compared(SkewPolicy(columns=limits, ignore=("nothing",)))
    assert report.verdict.outcome is Outcome.INCONCLUSIVE
    assert "quiet00: named by the policy, in no window; did you mean 'quiet0'?" in report.verdict.reasons
    assert "c: distance ks needs numbers; judged by total_variation instead" in report.verdict.reasons
    assert report.verdict.reasons[-1] == "nothing: named by the policy, in no window"


def test_rows_that_repeat_entities_make_one_less_sure():
    sure = policy_compared(SkewPolicy(), shift=0.15)
    unsure = policy_compared(SkewPolicy(rows_per_entity=50), shift=0.15)
    assert skewed(sure) == {"x"}
    assert skewed(unsure) == set()
    assert unsure.notes == ("50 rows per entity: sample sizes are divided by as much",)


def test_repeated_rows_raise_no_false_alarm_when_their_number_is_given():
    def repeated(rng):
        return pa.table({f"x{i}": np.repeat(rng.normal(size=200), 25) for i in range(5)})

    hits = {1.0: 0, 25.0: 0}
    for seed in range(40):
        rng = np.random.default_rng(seed)
        reference = profile_table(repeated(rng))
        current = profile_table(repeated(rng), bins_from=reference)
        for rows_per_entity in hits:
            policy = SkewPolicy(rows_per_entity=rows_per_entity)
            hits[rows_per_entity] += bool(skewed(compare_profiles(reference, current, policy)))
    assert hits[25.0] <= 4
    assert hits[1.0] > 30


def test_order_of_columns_and_categories_changes_nothing():
    rng = np.random.default_rng(6)
    one, other = (profile_table(frame(rng, 3000, shift=s)) for s in (0, 0.2))
    other = profile_table(frame(rng, 3000, shift=0.2, mix=0.1), bins_from=one)
    turned = Profile(
        rows=one.rows,
        columns=tuple(
            Column(
                **{**vars_of(c), "categories": dict(reversed(c.categories.items())) if c.categories else None}
            )
            for c in reversed(one.columns)
        ),
    )
    first, second = (
        {(t.column, t.effect.name): (round(t.effect.lower, 12), t.skewed) for t in report.tests}
        for report in (compare_profiles(one, other), compare_profiles(turned, other))
    )
    assert first == second


def vars_of(column):
    return {name: getattr(column, name) for name in Column.__dataclass_fields__}


def test_report_keeps_bounded_distributions_and_survives_json():
    rng = np.random.default_rng(7)
    names = [f"v{i}" for i in range(300)]
    table = pa.table({"x": rng.normal(size=5000), "c": rng.choice(names, 5000), "e": pa.nulls(5000)})
    reference = profile_table(table)
    report = compare_profiles(reference, profile_table(table, bins_from=reference))
    kept = {d.column: d for d in report.distributions}
    assert len(kept["x"].reference) <= 64
    assert len(kept["x"].edges) == len(kept["x"].reference) - 1
    assert kept["c"].names[-1] == "all others"
    assert len(kept["c"].names) == len(kept["c"].current) == 21
    assert all(sum(kept[n].reference) == pytest.approx(1) for n in "xc")
    assert kept["e"].current_null_share == 1
    assert SkewReport.from_json(report.to_json()) == report


def wide(columns):
    edges, counts = tuple(map(float, range(63))), (100,) * 64
    return Profile(
        rows=6400,
        columns=tuple(
            Column(name=f"c{i}", kind=Kind.NUMBER, arrow_type="double", edges=edges, counts=counts)
            for i in range(columns)
        ),
    )


def test_wide_windows_keep_the_strongest_distributions_and_count_the_rest():
    report = compare_profiles(wide(250), wide(250))
    assert (len(report.distributions), report.distributions_left_out) == (DISTRIBUTIONS_KEPT, 150)


def test_ten_thousand_columns_take_seconds():
    began = time.process_time()
    report = compare_profiles(wide(10_000), wide(10_000))
    assert time.process_time() - began < 10
    assert len(report.tests) == 20_000


@pytest.mark.parametrize("table", [{"x": []}, {"x": [1.0]}, {"x": [None]}, {"x": [float("nan")] * 9}])
def test_windows_with_hardly_anything_in_them_are_compared_without_a_crash(table):
    small = profile_table(pa.table({name: pa.array(v, pa.float64()) for name, v in table.items()}))
    large = profile_table(pa.table({"x": np.arange(1000.0)}))
    for pair in ((small, small), (large, small), (small, large)):
        report = compare_profiles(*pair)
        assert not report.skewed_columns or report.verdict.outcome is Outcome.FAIL
        json.dumps(report.to_json(), allow_nan=False)


def test_what_all_columns_say_joins_the_verdict():
    told = {"auc": 0.8, "lower": 0.78, "p_value": 0.001, "threshold": 0.55, "sentence": "told apart"}
    result = MultivariateResult(**told, reference_rows=10, current_rows=10, skewed=True)
    report = with_multivariate(policy_compared(SkewPolicy()), result)
    assert (report.verdict.outcome, report.verdict.reasons) == (Outcome.FAIL, ("told apart",))
    assert report.multivariate == result


@pytest.mark.parametrize("wrong", [{"alpha": 0}, {"ks": 1}, {"null_share": -0.1}])
def test_threshold_that_cannot_be_meant_is_refused(wrong):
    with pytest.raises(InvalidConfigError, match=next(iter(wrong))):
        SkewPolicy(**wrong)


@pytest.mark.parametrize("distance", [each for each in Distance if each is not Distance.KS])
@pytest.mark.parametrize("rows", [20, 100, 250])
def test_numbers_of_a_small_window_are_not_joined_into_one_bin(distance, rows):
    rng = np.random.default_rng(5)
    profiles = [profile_table(pa.table({"x": x})) for x in (rng.normal(size=5000), rng.normal(3, 1, rows))]
    assert skewed(compare_profiles(*profiles, SkewPolicy(numeric=distance))) == {"x"}


@pytest.mark.parametrize("distance", [Distance.TOTAL_VARIATION, Distance.PSI, Distance.JENSEN_SHANNON])
def test_small_windows_without_drift_stay_quiet(distance):
    rng, wrong = np.random.default_rng(6), 0
    before = profile_table(pa.table({"x": rng.normal(size=5000)}))
    for _ in range(200):
        now = profile_table(pa.table({"x": rng.normal(size=int(rng.integers(10, 300)))}))
        wrong += bool(skewed(compare_profiles(before, now, SkewPolicy(numeric=distance))))
    assert wrong <= 16  # binomial, 200 x .05: above with probability .02


@pytest.mark.parametrize(("values", "rows"), [(10, 5), (10, 30), (20, 45)])
def test_text_of_which_too_few_rows_came_is_not_comparable(values, rows):
    names = np.random.default_rng(7).choice([f"v{i}" for i in range(values)], 5000)
    profiles = [profile_table(pa.table({"c": pa.array(c)})) for c in (names, ["v9"] * rows)]
    verdict = compare_profiles(*profiles).verdict
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert any(
        f"c: not comparable: most values are too rare to be counted each, and {rows} values" in r
        for r in verdict.reasons
    )


@pytest.mark.parametrize(
    ("before", "now", "why"),
    [
        (pa.array([None] * 50, pa.float64()), pa.array([1.5] * 50), "the reference has no value of it"),
        (pa.array([[1]] * 50), pa.array([[2, 3]] * 50), "values of type list<item: int64> are not compared"),
        (pa.array([b"a"] * 50), pa.array([b"b"] * 50), "values of type binary are not compared"),
        (
            pa.array([0] * 50, pa.time64("us")),
            pa.array([9] * 50, pa.time64("us")),
            "values of type time64[us] are",
        ),
    ],
    ids=["all null", "list", "binary", "time of day"],
)
def test_column_of_which_only_missing_values_are_compared_is_no_plain_pass(before, now, why):
    verdict = compare_profiles(*(profile_table(pa.table({"x": x})) for x in (before, now))).verdict
    assert verdict.outcome is not Outcome.PASS
    assert any(f"x: not comparable: {why}" in finding.reason for finding in verdict.findings)
