"""A person stops a rollout on the page Models, in a real browser, before a real API server."""

from __future__ import annotations

import re

import httpx
import pytest
from local_serving import Clients, light_serving, model

pytestmark = [pytest.mark.integration, pytest.mark.slow]
HOLDER = "paged__rollout/run-1"
ASKED = {"model": "paged", "reason": "complaints since noon"}
HEADERS = {"X-MLOps-Request": "stop"}


@pytest.fixture(scope="module")
def registered(airflow):
    """The model is known to MLflow, so that its ledger can be shown."""
    with airflow.registry.server.session() as client:
        client.create_registered_model("paged")
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


def opened(page):
    """Go where a person finds it: Browse, Models, the model; return what stands above the ledger."""
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="Models").click()
    page.get_by_label("Model").select_option("paged")
    return page.get_by_role("region", name="Rollout of paged")


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
    page.get_by_role("cell", name=re.compile("complaints since noon")).wait_for()


def test_who_may_not_edit_dags_sees_the_rollout_and_cannot_stop_it(airflow, canary, signed_in, api_of):
    page = signed_in("viewer")
    opened(page).get_by_text("version 2 of paged").wait_for()
    assert page.get_by_role("button", name="Stop", exact=True).count() == 0
    assert api_of("viewer").post("/mlops/stop", json=ASKED, headers=HEADERS).status_code == 403
    assert httpx.post(f"{airflow.url}/mlops/stop", json=ASKED, headers=HEADERS).status_code == 401
    assert api_of("admin").post("/mlops/stop", json=ASKED).status_code == 403
    assert canary.traffic("paged").canary_percent == 50
