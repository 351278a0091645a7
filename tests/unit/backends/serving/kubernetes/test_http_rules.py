from __future__ import annotations

import pytest

from airflow_mlops.backends.serving.kubernetes.http_rules import RouteRules

HEADER = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"add": [{"name": "a", "value": "b"}]}}
REDIRECT = {"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 301}}
ONE, LEGACY = {"name": "demo-1", "port": 80, "weight": 100}, {"name": "legacy", "port": 81, "weight": 0}
HALF = {"demo-1": 50, "demo-2": 50}


def route(*rules):
    return RouteRules(
        list(rules), namespace="models", is_ours=lambda name: name.startswith("demo-"), port=8080
    )


def lead_to(*backends, **more):
    return {"backendRefs": list(backends), **more}


def test_new_backend_is_a_copy_of_the_one_that_has_requests():
    idle = {"name": "demo-0", "port": 1, "weight": 0}
    (rule,) = route(lead_to(idle, {**ONE, "filters": [HEADER]})).split(HALF)
    assert rule["backendRefs"] == [
        {"name": "demo-1", "port": 80, "weight": 50, "filters": [HEADER]},
        {"name": "demo-2", "port": 80, "weight": 50, "filters": [HEADER]},
    ]


def test_backend_that_is_there_keeps_its_own_filters():
    own = {"name": "demo-2", "port": 90, "weight": 0, "filters": []}
    (rule,) = route(lead_to({**ONE, "filters": [HEADER]}, own)).split({"demo-2": 100})
    assert rule["backendRefs"] == [{**own, "weight": 100}]


@pytest.mark.parametrize(
    "other",
    [
        LEGACY,
        {**LEGACY, "name": "demo-1", "namespace": "elsewhere"},
        {**LEGACY, "name": "demo-1", "kind": "Pool"},
    ],
    ids=["name", "namespace", "kind"],
)
def test_backend_of_others_without_weight_stays_and_with_weight_is_seen(other):
    rules = route(lead_to(ONE, other))
    assert rules.weights() == [{"demo-1": 100}]
    assert rules.split(HALF)[0]["backendRefs"][2:] == [other]
    (seen,) = route(lead_to(ONE, {**other, "weight": 10})).weights()
    assert list(seen.values()) == [100, 10]


def test_service_that_a_rule_names_twice_is_seen_twice():
    assert route(lead_to(ONE, {**ONE, "port": 81})).weights() == [{"demo-1": 100, "demo-1:81": 100}]


def test_rule_that_answers_itself_is_never_filled():
    redirect = {"filters": [REDIRECT]}
    answered = {"filters": [{"type": "ExtensionRef"}]}
    empty = lead_to(filters=[HEADER])
    first, second, third = route(redirect, answered, empty).split({"demo-1": 100})
    assert (first, second) == (redirect, answered)
    assert third == {"filters": [HEADER], "backendRefs": [{"name": "demo-1", "port": 8080, "weight": 100}]}


def test_rule_that_leads_nowhere_is_left_alone_where_another_leads_to_the_model():
    empty = lead_to()
    rules = route(empty, lead_to(ONE), lead_to({"name": "docs"}))
    assert rules.weights() == [{"demo-1": 100}]
    assert [len(rule["backendRefs"]) for rule in rules.split(HALF)] == [0, 2, 1]
