"""Models for whom several partitions arrive at once: told by others, and watched for by a DAG of its own."""

from __future__ import annotations

from typing import Any

from airflow_mlops.dag_factories import (
    DataConfig,
    ModelDag,
    RetrainConfig,
    RolloutConfig,
    TrainConfig,
    ValidateConfig,
)

KNOWN: dict[str, Any] = {
    "schema": "{{ var.value.steady_schema }}",
    "target": "late",
    "key": ("id",),
    "history": 2,
}
PLAN = {"steps": (50,), "min_requests": 20, "max_error_rate": 0.05, "burst": 1}

for model, data in {
    "backlog": DataConfig(uri="{{ var.value.steady_uri }}", **KNOWN),
    "watched": DataConfig(uri="{{ var.value.steady_uri }}_watched", watch="1s", **KNOWN),
}.items():
    ModelDag(
        model,
        data=data,
        train=TrainConfig("steady_model:fit"),
        validate=ValidateConfig(margin={"roc_auc": 0.05}),
        rollout=RolloutConfig(**PLAN, bake="4s", deadline="3m", window="1s"),
        retrain=RetrainConfig(cooldown=0, min_new_rows=100),
        retry_delay="1s",
    )
