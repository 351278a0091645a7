"""Value skew: distances between the profiles of two windows, with confidence bounds and a verdict."""

from airflow_mlops.moved import names_of

__getattr__ = names_of(__name__)
