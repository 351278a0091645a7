"""The training DAG: window → schema → skew → decision → model → verdict → release → challenger.

And the DAG that announces new windows, where nobody else does.
"""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param, PartitionedAssetTimetable, chain

from airflow_mlops.assets import challenger_asset, data_asset, retraining_asset
from airflow_mlops.dag_factories.dag import model_dag
from airflow_mlops.operators.card import WriteModelCardOperator
from airflow_mlops.operators.data import CheckSchemaOperator, CheckSkewOperator, ProfileDataOperator
from airflow_mlops.operators.readiness import CheckReadinessOperator
from airflow_mlops.operators.retraining import ReadTrainingRequestOperator, RetrainGateOperator
from airflow_mlops.operators.training import TrainModelOperator
from airflow_mlops.operators.validation import NominateChallengerOperator, ValidateModelOperator
from airflow_mlops.sensors.data import NewPartitionSensor

if TYPE_CHECKING:
    from airflow.sdk import DAG, BaseOperator

    from airflow_mlops.dag_factories.config import ModelConfig

_LOOK_SECONDS, _WEEK_SECONDS = 600.0, 7 * 86400.0
TRAINING_FORM = {
    "partition": Param(None, type=["null", "string"], title="Partition", description="Newest if empty."),
    "reason": Param(
        None, type=["null", "string"], title="Reason", description="Why train now; kept with the model."
    ),
    "force": Param(default=False, type="boolean", title="Force", description="Pass cool-down and limits."),
    "params": Param({}, type="object", title="Parameters", description="For this training only."),
}


def training_dag(config: ModelConfig) -> DAG:
    """Build ``<model>__training``: started by new data, by a retraining request, or by its form."""
    schedule = PartitionedAssetTimetable(assets=data_asset(config.model) | retraining_asset(config.model))
    with model_dag(config, "training", schedule=schedule, params=copy.deepcopy(TRAINING_FORM)) as dag:
        request = _request(config)
        checks = _checks(config, request)
        chain(request, *checks, *_model(config, request))
    return dag


def watch_dag(config: ModelConfig) -> DAG:
    """Build ``<model>__watch``: announces complete partitions, the oldest first and each once.

    Its one task waits on the triggerer; the next run begins when it ends. A week without data is skipped.
    """
    begin = datetime(2020, 1, 1, tzinfo=UTC)  # without one Airflow's second continuous run never comes
    with model_dag(config, "watch", schedule="@continuous", start_date=begin) as dag:
        NewPartitionSensor(
            task_id="new_partition",
            uri=config.data.dataset,
            complete=config.data.complete,
            poll_seconds=config.data.watch or _LOOK_SECONDS,
            timeout_seconds=_WEEK_SECONDS,
            soft_fail=True,
            outlets=[data_asset(config.model)],
            **_common(config),
        )
    return dag


def _request(config: ModelConfig) -> ReadTrainingRequestOperator:
    return ReadTrainingRequestOperator(
        task_id="read_request",
        uri=config.data.dataset,
        history=config.data.history,
        train_params=config.train.params,
        multiple_outputs=True,
        **_common(config),
    )


def _checks(config: ModelConfig, request: ReadTrainingRequestOperator) -> list[BaseOperator]:
    """Build what happens to the window before anything is trained."""
    common = _common(config)
    profile = ProfileDataOperator(
        task_id="profile_data",
        uri=config.data.dataset,
        partitions=request.output["partition"],
        target=config.data.target,
        multiple_outputs=True,
        **common,
    )
    schema = CheckSchemaOperator(
        task_id="check_schema", profile=profile.output, schema=config.data.schema, **common
    )
    skew = CheckSkewOperator(
        task_id="check_skew",
        profile=profile.output,
        reference=config.skew.reference.choice().to_json(),
        policy=config.skew_policy(),
        calibrated=config.skew.calibrated,
        **common,
    )
    gate = RetrainGateOperator(
        task_id="retrain_gate",
        verdicts=[skew.output],
        request=request.output,
        rows=profile.output["labelled"],
        policy=config.retrain.policy(),
        **common,
    )
    return [profile, schema, skew, gate]


def _model(config: ModelConfig, request: ReadTrainingRequestOperator) -> list[BaseOperator]:
    """Build what turns rows into a challenger."""
    common, spec = _common(config), config.data.spec()
    train = TrainModelOperator(
        task_id="train_model",
        function=config.train.function,
        window=request.output,
        data=spec,
        train_params=request.output["params"],
        trigger_reason="{{ ti.xcom_pull(task_ids='retrain_gate')['reasons'] | join('; ') }}",
        policy=config.validate.policy(),
        **common,
    )
    validate = ValidateModelOperator(
        task_id="validate_model",
        candidate=train.output,
        data=spec,
        policy=config.validate.policy(),
        metrics=config.validate.own_metrics(),
        checks=config.validate.own_checks(),
        **common,
    )
    release = _release(config, train, validate)
    nominate = NominateChallengerOperator(
        task_id="nominate_challenger",
        candidate=train.output,
        verdict=validate.output,
        outlets=[challenger_asset(config.model)],
        # says why validation refused a candidate; skipped on a day without training
        trigger_rule="none_failed_min_one_success" if release else "all_success",
        **common,
    )
    return [train, validate, *release, nominate]


def _release(config: ModelConfig, train: Any, validate: Any) -> list[BaseOperator]:
    """Build readiness, model card and approval, as configured; all skip what validation refused."""
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


def _common(config: ModelConfig) -> dict[str, Any]:
    return {"model": config.model, "mlflow_conn_id": config.mlflow_conn_id}
