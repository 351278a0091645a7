"""The data that the models of these DAGs are trained on."""

from __future__ import annotations

from airflow_mlops.dag_factories import DataConfig

DATA = DataConfig(
    uri="{{ var.value.steady_uri }}",
    schema="{{ var.value.steady_schema }}",
    target="late",
    key=("id",),
    history=1,
)
