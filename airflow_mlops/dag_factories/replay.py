"""The DAG that retrains a registered version, to check that training is reproducible."""

from __future__ import annotations

import copy
from typing import Any

from airflow.sdk import DAG, Param

from airflow_mlops.operators.replay import DEFAULT_TOLERANCE, ReplayTrainingOperator

_FORM = {
    "model": Param(type="string", minLength=1, title="Model", description="Registered model."),
    "version": Param(
        type="string", pattern="^[0-9]+$", title="Version", description="Version to train again."
    ),
    "tolerance": Param(
        DEFAULT_TOLERANCE,
        type="number",
        minimum=0,
        title="Tolerance",
        description="Allowed difference of a metric.",
    ),
    "function": Param(
        None, type=["null", "string"], title="Function", description="module:name, if it moved since."
    ),
}


def replay_dag(
    dag_id: str = "mlops__replay", *, mlflow_conn_id: str = "mlflow_default", **options: Any
) -> DAG:
    """Build the DAG; it is started by its form. It registers nothing and moves no traffic."""
    with DAG(dag_id, schedule=None, params=copy.deepcopy(_FORM), tags={"mlops", "replay"}, **options) as dag:
        ReplayTrainingOperator(
            task_id="replay",
            model="{{ params.model }}",
            version="{{ params.version }}",
            tolerance="{{ '' if params.tolerance is none else params.tolerance }}",
            function="{{ params.function or '' }}",
            mlflow_conn_id=mlflow_conn_id,
        )
    return dag
