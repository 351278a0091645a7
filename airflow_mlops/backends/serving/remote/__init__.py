"""Serving on remote platforms: what Kubernetes and Vertex AI have in common."""

from airflow_mlops.moved import names_of

__getattr__ = names_of(__name__)
