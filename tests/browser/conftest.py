from __future__ import annotations

import shutil

import pytest

from airflow_mlops.demo.api import AirflowApi


@pytest.fixture(scope="module")
def chromium():
    if shutil.which("chromium") is None:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def signed_in(airflow, chromium):
    """A page of the UI for a user who typed a name and a password."""
    opened = []

    def sign_in(user):
        context = chromium.new_context(viewport={"width": 1400, "height": 1000})
        opened.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.goto(airflow.url)
        page.fill("input[name=username]", user)
        page.fill("input[name=password]", airflow.passwords[user])
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Browse").wait_for()
        return page

    yield sign_in
    for context in opened:
        context.close()


@pytest.fixture
def api_of(airflow):
    """The HTTP client of a user who signed in by the API."""

    def client(user):
        api = AirflowApi(airflow.url, user, airflow.passwords[user])
        api.get("version")
        return api._client

    return client
