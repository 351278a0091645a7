"""Metrics: per-row terms, formulas by family, and one table of their names."""

from airflow_mlops.moved import names_of

__getattr__ = names_of(__name__)
