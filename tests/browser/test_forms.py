"""Every form of the shipped DAGs, in a real browser: required fields filled, optional ones as shown."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.slow]
NAMED = {"model": "nobody", "version": "1"}
FORMS = {
    "forms__training": {},
    "forms__rollout": {},
    "mlops__replay": NAMED,
    "mlops__rollback": {**NAMED, "reason": "complaints since noon"},
    "mlops__accept_schema": {"model": "nobody", "schema": "/no/schema.yaml", "uri": "/no/lake"},
}
"""DAG, and what its form requires; the models do not exist, or the run is deleted before it does anything."""


@pytest.fixture
def removed(airflow, api_of):
    """Run ids to delete afterwards: a run that stays would be another test's."""
    runs = []
    yield runs
    for dag_id, run_id in runs:
        api_of("admin").delete(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")


@pytest.mark.parametrize(("dag_id", "required"), FORMS.items(), ids=FORMS)
def test_form_with_empty_optional_fields_starts_a_run(airflow, signed_in, removed, dag_id, required):
    airflow.api.wait_for_dags(dag_id)
    page = signed_in("admin")
    page.goto(f"{airflow.url}/dags/{dag_id}")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    form.locator("[name^=element_]").first.wait_for()
    for name, text in required.items():
        form.locator(f"[name=element_{name}]").fill(text)
    with page.expect_response(
        lambda answer: answer.request.method == "POST" and answer.url.endswith("/dagRuns")
    ) as answered:
        form.get_by_role("button", name="Trigger", exact=True).click()
    run = answered.value.json()
    removed.append((dag_id, run.get("dag_run_id")))
    assert answered.value.status == 200, run
    assert {name: run["conf"][name] for name in required} == required
