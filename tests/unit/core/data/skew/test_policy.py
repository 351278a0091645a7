from __future__ import annotations

import pytest

from airflow_mlops.core.data.skew.policy import ColumnLimits, Distance, Role, SkewPolicy, policy_from_yaml
from airflow_mlops.core.errors import InvalidConfigError

TEXT = """
alpha: 0.01
numeric: wasserstein
labels: [late]
predictions: [score]
ignore: [flight_id]
rows_per_entity: 12
columns:
  delay: {distance: psi, threshold: 0.2, null_share: 0.1}
  dest: {new_categories: 0}
"""


def test_policy_is_read_from_yaml():
    policy = policy_from_yaml(TEXT, "p.yaml")
    assert (policy.alpha, policy.numeric, policy.rows_per_entity) == (0.01, Distance.WASSERSTEIN, 12)
    assert [policy.role(name) for name in ("late", "score", "x")] == list(
        map(Role, ("label", "prediction", "feature"))
    )
    assert policy.columns["delay"] == ColumnLimits(distance=Distance.PSI, threshold=0.2, null_share=0.1)
    assert SkewPolicy.from_json(policy.to_json()) == policy


def test_limits_of_a_column_win_over_the_general_ones():
    policy = policy_from_yaml(TEXT, "p.yaml")
    assert policy.distance("delay", numeric=True) is Distance.PSI
    assert policy.distance("other", numeric=True) is Distance.WASSERSTEIN
    assert policy.distance("other", numeric=False) is Distance.TOTAL_VARIATION
    assert policy.configured("delay", "psi") == 0.2
    assert policy.configured("delay", "ks") is None
    assert policy.configured("dest", "new_categories") == 0
    assert policy.configured("dest", "total_variation") is None
    assert policy.general("psi") == 0.001


def test_distance_that_needs_numbers_gives_way_for_text():
    policy = SkewPolicy(columns={"c": ColumnLimits(distance=Distance.KS, threshold=0.1)})
    assert policy.distance("c", numeric=False) is Distance.TOTAL_VARIATION


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "p.yaml: no YAML"),
        ("- a", "p.yaml: list, allowed: a mapping"),
        ("thresholds: 1", "unknown key 'thresholds'; one of: alpha"),
        ("ignored: [x]", "did you mean 'ignore'"),
        ("columns: [x]", "columns: list, allowed: a mapping"),
        ("columns: {x: 0.1}", "columns.x: float, allowed: a mapping"),
        ("columns: {x: {treshold: 0.1}}", "columns.x: unknown key 'treshold'.*did you mean 'threshold'"),
        ("columns: {x: {threshold: -1}}", "p.yaml: skew.threshold: -1.0, allowed: 0 or more"),
        ("columns: {x: {distance: ks, threshold: 2}}", "allowed: 0 up to 1"),
        ("columns: {x: {distance: kl}}", "columns.x.distance.*'ks'"),
        ("alpha: much", "p.yaml: .*alpha"),
        ("alpha: .nan", "skew.alpha: nan"),
        ("wasserstein: .inf", "skew.wasserstein: inf, allowed: 0 or more"),
        ("rows_per_entity: 0.5", "skew.rows_per_entity: 0.5, allowed: 1 or more"),
        ("category: ks", "skew.category: ks needs numbers; one of: jensen_shannon"),
    ],
)
def test_policy_that_is_not_understood_is_refused_by_name(text, said):
    with pytest.raises(InvalidConfigError, match=said):
        policy_from_yaml(text, "p.yaml")
