"""Tasks between validation and nomination: readiness → model card → approval, as far as configured."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_mlops.operators.card import WriteModelCardOperator
from airflow_mlops.operators.readiness import CheckReadinessOperator

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

    from airflow_mlops.dag_factories.config import ModelConfig


def release_tasks(config: ModelConfig, train: Any, validate: Any) -> list[BaseOperator]:
    """Build them in the order they run in; all skip what validation refused."""
    common = {"model": config.model, "mlflow_conn_id": config.mlflow_conn_id, "candidate": train.output}
    tasks: list[BaseOperator] = []
    verdicts, card = [validate.output], None
    if config.readiness is not None:
        ready = CheckReadinessOperator(
            task_id="check_readiness",
            verdict=validate.output,
            policy=config.readiness.policy(),
            **common,
        )
        tasks.append(ready)
        verdicts.append(ready.output)
    if config.card is not None:
        write = WriteModelCardOperator(
            task_id="write_model_card",
            verdict=validate.output,
            schema=config.data.schema,
            statement=config.card.statement(),
            required=config.card.required,
            **common,
        )
        tasks.append(write)
        card = write.output
    if config.approval.when != "auto":
        tasks.append(_approval(config, verdicts, card, common))
    return tasks


def _approval(config: ModelConfig, verdicts: list[Any], card: Any, common: dict[str, Any]) -> BaseOperator:
    from airflow_mlops.operators.approval import ApproveModelOperator

    asked = config.approval
    return ApproveModelOperator(
        task_id="approve_model",
        verdicts=verdicts,
        card=card,
        when=asked.when,
        approvers=asked.approvers,
        timeout=timedelta(seconds=asked.timeout),
        default=asked.default,
        **common,
    )
