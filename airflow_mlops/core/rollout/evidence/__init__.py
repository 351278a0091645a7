"""Sequential tests of a canary: e-processes that stay valid however often they are evaluated."""

from airflow_mlops.moved import names_of

__getattr__ = names_of(__name__)
