"""Versions, shares, promotion and rollback: the same on every back end, and idempotent."""

from __future__ import annotations

import pytest
from serving_contract import ME, OTHER, shape

from airflow_mlops.core.errors import EndpointBusyError, InvalidPlanError, TrafficConflictError


def test_new_version_gets_no_traffic_when_deployed(serving, endpoint):
    assert shape(serving.traffic(endpoint)) == ("1", "2", 0)


def test_same_weight_twice_changes_nothing(serving, endpoint):
    once = serving.set_traffic(endpoint, "2", 25, holder=ME)
    assert serving.set_traffic(endpoint, "2", 25, holder=ME) == once == serving.traffic(endpoint)
    assert shape(once) == ("1", "2", 25)


@pytest.mark.parametrize("percent", [-1, 101, 2.5, "5"])
def test_impossible_percent_is_refused_and_changes_nothing(serving, endpoint, percent):
    with pytest.raises(InvalidPlanError, match="allowed"):
        serving.set_traffic(endpoint, "2", percent, holder=ME)
    assert shape(serving.traffic(endpoint)) == ("1", "2", 0)


def test_second_holder_is_refused_by_name(serving, endpoint):
    with pytest.raises(EndpointBusyError, match="run-1"):
        serving.claim(endpoint, OTHER)
    with pytest.raises(EndpointBusyError, match="run-1"):
        serving.set_traffic(endpoint, "2", 5, holder=OTHER)


def test_release_by_another_holder_changes_nothing(serving, endpoint):
    serving.release(endpoint, OTHER)
    assert serving.traffic(endpoint).holder == ME


def test_version_that_is_no_canary_gets_no_weight(serving, endpoint):
    with pytest.raises(TrafficConflictError, match="not the canary"):
        serving.set_traffic(endpoint, "1", 5, holder=ME)


def test_promote_twice_is_promote_once_and_clean_up_stops_the_old(serving, endpoint):
    serving.set_traffic(endpoint, "2", 50, holder=ME)
    once = serving.promote(endpoint, "2", holder=ME)
    assert shape(once) == ("2", None, 0)
    assert serving.promote(endpoint, "2", holder=ME) == once
    assert set(serving.counters(endpoint).versions) == {"1", "2"}
    serving.clean_up(endpoint, holder=ME)
    assert set(serving.counters(endpoint).versions) == {"2"}


def test_roll_back_twice_is_roll_back_once(serving, endpoint):
    serving.set_traffic(endpoint, "2", 50, holder=ME)
    once = serving.roll_back(endpoint, "2", holder=ME)
    assert shape(once) == ("1", None, 0)
    assert serving.roll_back(endpoint, "2", holder=ME) == once


def test_deploy_twice_is_deploy_once(serving, endpoint, model_dir):
    serving.set_traffic(endpoint, "2", 10, holder=ME)
    before = serving.counters(endpoint)
    assert shape(serving.deploy(endpoint, "2", model_dir, holder=ME)) == ("1", "2", 10)
    assert serving.counters(endpoint).generation == before.generation


def test_rollback_from_everything_gives_the_stable_version_its_requests_back(serving, endpoint, model_dir):
    serving.set_traffic(endpoint, "2", 100, holder=ME)
    assert shape(serving.roll_back(endpoint, "2", holder=ME)) == ("1", None, 0)
    assert shape(serving.clean_up(endpoint, holder=ME)) == ("1", None, 0)
    assert set(serving.counters(endpoint).versions) == {"1"}
    assert shape(serving.deploy(endpoint, "2", model_dir, holder=ME)) == ("1", "2", 0)


def test_canary_that_has_all_requests_is_promoted_and_the_one_before_can_come_back(serving, endpoint):
    serving.set_traffic(endpoint, "2", 100, holder=ME)
    assert shape(serving.promote(endpoint, "2", holder=ME)) == ("2", None, 0)
    assert shape(serving.promote(endpoint, "1", holder=ME)) == ("1", None, 0)


def test_version_that_was_promoted_is_rolled_back_by_promoting_the_one_before(serving, endpoint):
    serving.promote(endpoint, "2", holder=ME)
    assert shape(serving.promote(endpoint, "1", holder=ME)) == ("1", None, 0)


def test_version_that_was_never_deployed_is_not_promoted(serving, endpoint):
    with pytest.raises(TrafficConflictError, match="version 9 is not deployed"):
        serving.promote(endpoint, "9", holder=ME)
    assert shape(serving.traffic(endpoint)) == ("1", "2", 0)
