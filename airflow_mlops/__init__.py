"""Airflow provider and DAG library for the machine-learning loop.

From new data to full traffic and back: data checks, training, validation against production,
canary rollout judged on evidence, monitoring and retraining. Import what you need from its own
module, for example ``from airflow_mlops.dag_factories.model import ModelDag``.
"""

from airflow_mlops.moved import MovedModules

__version__ = "0.1.0"

MovedModules.install()
