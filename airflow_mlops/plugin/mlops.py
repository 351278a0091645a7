"""The Airflow plug-in: makes the evidence link known to the UI."""

from __future__ import annotations

from airflow.sdk.plugins_manager import AirflowPlugin

from airflow_mlops.links import EvidenceRunLink


class MlopsPlugin(AirflowPlugin):
    """Registered once under its name, by entry point or by a file in the plug-ins folder."""

    name = "mlops"
    operator_extra_links = [EvidenceRunLink()]  # noqa: RUF012 - Airflow reads a plain class attribute
