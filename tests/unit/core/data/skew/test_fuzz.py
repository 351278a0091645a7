"""Whatever two windows hold, they are compared, and the report is plain JSON."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.backends.reporting.skew import render_skew, skew_text
from airflow_mlops.core.data.profile.profile import merge
from airflow_mlops.core.data.skew.calibration import calibrate
from airflow_mlops.core.data.skew.compare import compare_profiles
from airflow_mlops.core.data.skew.policy import Distance, SkewPolicy
from airflow_mlops.core.data.skew.report import SkewReport

SPECIAL = [0.0, 1.0, -1e300, 1e300, float("nan"), float("inf"), float("-inf")]
NUMBERS = st.one_of(st.none(), st.floats(-1e300, 1e300), st.sampled_from(SPECIAL))
TEXT = st.one_of(st.none(), st.sampled_from(["", "a", "b", "<b>"]), st.text(max_size=4))
ROWS = st.lists(st.tuples(NUMBERS, TEXT, st.one_of(st.none(), st.booleans())), max_size=30)
POLICIES = st.builds(
    SkewPolicy,
    numeric=st.sampled_from(Distance),
    category=st.sampled_from([d for d in Distance if not d.needs_order]),
    rows_per_entity=st.sampled_from([1.0, 7.5]),
)


def window(rows):
    columns = list(zip(*rows, strict=True)) if rows else [(), (), ()]
    types = zip("xcb", (pa.float64(), pa.string(), pa.bool_()), columns, strict=True)
    return pa.table({name: pa.array(values, kind) for name, kind, values in types})


def compare(reference, current, policy):
    known = profile_table(window(reference))
    fresh = profile_table(window(current), bins_from=known)
    report = compare_profiles(known, fresh, policy)
    text = json.dumps(report.to_json(), allow_nan=False)
    assert SkewReport.from_json(json.loads(text)) == report
    assert skew_text(report)
    assert "<b>" not in render_skew(report)
    for test in report.tests:
        assert test.effect.lower <= max(0.0, test.effect.corrected) + 1e-9
        assert 0 <= test.effect.p_value <= 1
    history = [known, *(profile_table(window(current), bins_from=known) for _ in range(6))]
    assert calibrate(history, policy=policy).blocks in (6, 7)  # one unlike all others is left out
    assert compare_profiles(merge(*history), fresh, policy, calibrate(history, policy=policy)).verdict


@settings(max_examples=25)
@given(ROWS, ROWS, POLICIES)
def test_any_two_windows_are_compared(reference, current, policy):
    compare(reference, current, policy)


@pytest.mark.slow
@settings(max_examples=150)
@given(ROWS, ROWS, POLICIES)
def test_any_two_windows_are_compared_many_times(reference, current, policy):
    compare(reference, current, policy)
