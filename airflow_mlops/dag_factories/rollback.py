"""The DAG that returns to an earlier version, started by a person."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Param

from airflow_mlops.operators.rollback import RestoreVersionOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import BaseNotifier

_FORM = {
    "model": Param(type="string", minLength=1, title="Model", description="Registered model."),
    "version": Param(
        type="string",
        pattern="^[0-9]+$",
        title="Version",
        description="Goes back to it; `airflow-mlops ledger` shows them.",
    ),
    "reason": Param(type="string", minLength=1, title="Reason", description="Why; kept in the ledger."),
    "force": Param(
        default=False,
        type="boolean",
        title="Force",
        description="Also if it never served, or a rollout holds the endpoint: that one is stopped.",
    ),
}


def rollback_dag(
    dag_id: str = "mlops__rollback",
    *,
    serving_conn_id: str = "mlops_serving",
    mlflow_conn_id: str = "mlflow_default",
    notifiers: Sequence[BaseNotifier] = (),
    **options: Any,
) -> DAG:
    """Build the DAG; it is started by its form, and the ledger records by whom.

    :param notifiers: notified when the version serves again.
    """
    with DAG(
        dag_id, schedule=None, params=copy.deepcopy(_FORM), tags={"mlops", "rollback"}, **options
    ) as dag:
        RestoreVersionOperator(
            task_id="restore",
            model="{{ params.model }}",
            version="{{ params.version }}",
            reason="{{ params.reason }}",
            force="{{ params.force }}",
            serving_conn_id=serving_conn_id,
            mlflow_conn_id=mlflow_conn_id,
            notifiers=notifiers,
            retries=2,
            retry_delay=timedelta(seconds=10),
        )
    return dag
