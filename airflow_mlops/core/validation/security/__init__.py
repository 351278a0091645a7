"""Security heuristics: signs of label poisoning and of model extraction."""

from airflow_mlops.moved import names_of

__getattr__ = names_of(__name__)
