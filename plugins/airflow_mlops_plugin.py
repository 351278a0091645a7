from __future__ import annotations

from airflow_mlops.plugin.mlops import MlopsPlugin  # noqa: F401 - Airflow finds the plug-in by this import
