"""Readiness of a version to serve: probe requests, load test, recorded requirements."""

from airflow_mlops.moved import names_of

__getattr__ = names_of(__name__)
