"""A person stops a rollout on the page Models, in a real browser, before a real API server."""

from __future__ import annotations

import re
import time

import httpx
import pytest
from local_serving import Clients, light_serving, model

from airflow_mlops.core.rollout.live import LiveRollout
from airflow_mlops.runtime.stop import stop_rollout

pytestmark = [pytest.mark.integration, pytest.mark.slow]
HOLDER = "paged__rollout/run-1"
ASKED = {"model": "paged", "reason": "complaints since noon"}
HEADERS = {"X-MLOps-Request": "stop"}


@pytest.fixture(scope="module")
def registered(airflow):
    """The models are known to MLflow, so that their ledgers can be shown."""
    with airflow.registry.server.session() as client:
        for name in ("paged", "first"):
            client.create_registered_model(name)
    return airflow


@pytest.fixture
def canary(airflow, registered, tmp_path, monkeypatch):
    """Version 2 of an endpoint gets half of the requests, in a rollout whose DAG there is not."""
    folder = airflow.services.serving.state_dir
    with light_serving(folder, monkeypatch) as serving:
        serving.claim("paged", HOLDER)
        for version in ("1", "2"):
            serving.deploy("paged", version, model(tmp_path / version), holder=HOLDER)
            serving.promote("paged", "1", holder=HOLDER)
        serving.deploy("paged", "2", model(tmp_path / "2"), holder=HOLDER)
        serving.set_traffic("paged", "2", 50, holder=HOLDER)
        yield serving


@pytest.fixture
def first_version(airflow, registered, tmp_path, monkeypatch):
    """The first version of an endpoint, at 25 % beside nothing."""
    with light_serving(airflow.services.serving.state_dir, monkeypatch) as serving:
        serving.claim("first", HOLDER)
        serving.deploy("first", "1", model(tmp_path / "1"), holder=HOLDER)
        serving.set_traffic("first", "1", 25, holder=HOLDER)
        yield serving


def opened(page, name="paged"):
    """Go where a person finds it: Browse, Models, the model; return what stands above the ledger."""
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="Models").click()
    page.get_by_label("Model").select_option(name)
    return page.get_by_role("region", name=f"Rollout of {name}")


def test_person_stops_a_rollout_with_a_reason_and_no_client_notices(airflow, canary, signed_in):
    page = signed_in("admin")
    region = opened(page)
    region.get_by_text("version 2 of paged").wait_for()
    assert "canary 50 %" in region.inner_text()
    assert f"held by {HOLDER}" in region.inner_text()
    with Clients(canary.url("paged")) as clients:
        clients.more()
        region.get_by_role("button", name="Stop", exact=True).click()
        send = page.get_by_role("button", name="Stop the rollout")
        assert send.is_disabled()
        page.get_by_label("Reason").fill("complaints since noon")
        send.click()
        page.get_by_role("status").get_by_text("version 2 stopped, 50 % → 0 %").wait_for()
        after = len(clients.answers)
        clients.more(100)
    assert {status for _, status in clients.answers} == {200}
    assert {version for version, _ in clients.answers[after + 10 :]} == {"1"}
    page.get_by_text("No rollout is running.").wait_for()
    (end,) = airflow.registry.ends("paged")
    assert (end.kind, end.actor, end.reason, end.holder) == (
        "stopped",
        "admin",
        "complaints since noon",
        HOLDER,
    )
    page.get_by_role("cell", name=re.compile("by way of the page.*complaints since noon")).wait_for()


def test_page_says_what_it_knows_and_since_when(airflow, canary, signed_in):
    live = {"version": "2", "champion": "1", "percent": 50, "phase": "waiting_for_approval"}
    live |= {"decision": "advance", "reasons": ["a person has to approve"], "holder": HOLDER}
    live |= {"at": time.time() - 100, "window_seconds": 2.0, "bar": 60.0, "e_values": {"errors": 1.0}}
    canary.keep_live("paged", LiveRollout.from_json(live))
    region = opened(signed_in("admin"))
    region.get_by_text("waiting for approval; e-values: errors 1.00 (rolls back at 60.0)").wait_for()
    assert re.search(
        r"not looked at for 1\d\d s, nobody watches; at [\d:]{8} UTC it was: ", region.inner_text()
    )
    region.get_by_role("button", name="Stop", exact=True).click()
    assert "No other version serves" not in region.inner_text()


def test_page_warns_that_nothing_serves_after_the_stop_and_the_ledger_says_it_too(
    airflow, first_version, signed_in
):
    page = signed_in("admin")
    region = opened(page, "first")
    region.get_by_text("canary 100 %").wait_for()
    region.get_by_role("button", name="Stop", exact=True).click()
    region.get_by_text("No other version serves: after the stop nothing answers").wait_for()
    page.get_by_role("button", name="Cancel").click()
    asked = {"actor": "ann", "reason": "by night", "now": time.time(), "registry": airflow.registry}
    done = stop_rollout(first_version, "first", **asked)
    assert done.sentence.endswith("nothing serves any more; paged__rollout/run-1 no longer holds it")
    cell = page.get_by_role("cell", name=re.compile("by night"))  # nobody reloads the page
    cell.get_by_text("no version serves after it").wait_for()


def test_who_may_not_edit_dags_sees_the_rollout_and_cannot_stop_it(airflow, canary, signed_in, api_of):
    page = signed_in("viewer")
    opened(page).get_by_text("version 2 of paged").wait_for()
    assert page.get_by_role("button", name="Stop", exact=True).count() == 0
    assert api_of("viewer").post("/mlops/stop", json=ASKED, headers=HEADERS).status_code == 403
    assert httpx.post(f"{airflow.url}/mlops/stop", json=ASKED, headers=HEADERS).status_code == 401
    assert api_of("admin").post("/mlops/stop", json=ASKED).status_code == 403
    assert canary.traffic("paged").canary_percent == 50
