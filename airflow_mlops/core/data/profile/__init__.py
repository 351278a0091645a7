"""Profiles: mergeable summaries of the columns of a window."""

from airflow_mlops.moved import names_of

__getattr__ = names_of(__name__)
