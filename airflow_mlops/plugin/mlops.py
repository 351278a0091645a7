"""The Airflow plug-in: links on tasks, the ledger's API and the page *Models*."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.sdk.plugins_manager import AirflowPlugin

from airflow_mlops.links import EvidenceRunLink, FullReportLink

_PREFIX = "mlops"
_PAGE = {
    "name": "Models",
    "bundle_url": f"{_PREFIX}/models.js",  # relative to the UI's address, also behind a proxy
    "url_route": "mlops-models",
    "destination": "nav",
    "category": "browse",
}


class MlopsPlugin(AirflowPlugin):
    """Registered once under its name, by entry point or by a file in the plug-ins folder."""

    name = "mlops"
    operator_extra_links = [EvidenceRunLink(), FullReportLink()]  # noqa: RUF012 - Airflow reads a plain class attribute
    react_apps = [_PAGE]  # noqa: RUF012 - the same

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """Return the API; only the API server builds it, other processes do not load it."""
        from airflow_mlops.plugin.ledger import ledger_api

        return [{"app": ledger_api(), "url_prefix": f"/{_PREFIX}", "name": _PREFIX}]
