"""The DAG by which a person accepts changes of a schema: compare → approve → write."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Param, chain

from airflow_mlops.operators.schema import AcceptSchemaOperator, ApproveSchemaOperator, ProposeSchemaOperator

if TYPE_CHECKING:
    from airflow.sdk.execution_time.hitl import HITLUser

_FORM = {
    "model": Param(type="string", minLength=1, title="Model", description="Names the experiment."),
    "schema": Param(type="string", minLength=1, title="Schema", description="Path or URI of the YAML suite."),
    "uri": Param(
        type="string", minLength=1, title="Dataset", description="Path or scheme://conn_id@bucket/…"
    ),
    "partition": Param(
        None, type=["null", "string"], title="Partition to infer from", description="Newest if empty."
    ),
    "changes": Param(
        "needed",
        type=["null", "string"],
        title="Changes",
        description="all, needed (also if empty), or ids separated by commas.",
    ),
}
_PROPOSED = "ti.xcom_pull(task_ids='propose')"
_CHANGES = f"{{{{ {_PROPOSED}['changes'] }}}} change{{{{ '' if {_PROPOSED}['changes'] == 1 else 's' }}}}"


def accept_schema_dag(
    dag_id: str = "mlops__accept_schema",
    *,
    approvers: list[HITLUser] | None = None,
    response_timeout: timedelta = timedelta(days=7),
    mlflow_conn_id: str = "mlflow_default",
    **options: Any,
) -> DAG:
    """Build the DAG; it is started by its form.

    :param approvers: users who may answer, ``{"id": …, "name": …}`` each; every user who may edit the DAG
        if ``None``.
    :param response_timeout: how long the approval waits; then the run fails and nothing is written.
    """
    common: dict[str, Any] = {
        "model": "{{ params.model }}",
        "schema": "{{ params.schema }}",
        "mlflow_conn_id": mlflow_conn_id,
    }
    with DAG(dag_id, schedule=None, params=copy.deepcopy(_FORM), tags={"mlops", "schema"}, **options) as dag:
        propose = ProposeSchemaOperator(
            task_id="propose",
            uri="{{ params.uri }}",
            partition="{{ params.partition or '' }}",
            changes="{{ params.changes or '' }}",
            **common,
        )
        approve = ApproveSchemaOperator(
            task_id="approve",
            subject=f"Accept {_CHANGES} of {{{{ params.schema }}}}?",
            body=f"{{{{ {_PROPOSED}['text'] }}}}",
            assigned_users=approvers,
            response_timeout=response_timeout,
            retry_delay=timedelta(seconds=5),  # Airflow may drop the answer; the next try finds it
        )
        chain(propose, approve, AcceptSchemaOperator(task_id="write", decision=approve.output, **common))
    return dag
