"""The cluster that KUBECONFIG leads to, served through Airflow's connections and hooks."""

from __future__ import annotations

CLUSTER = {}
