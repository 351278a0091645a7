"""The airflow dags that people start by a form, and one that a change of the registry starts."""

from __future__ import annotations

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_mlops.dag_factories.replay import replay_dag
from airflow_mlops.dag_factories.rollback import rollback_dag
from airflow_mlops.triggers.registry import ModelRegistryTrigger

rollback_dag()
replay_dag()

trigger = ModelRegistryTrigger(model="restored", on=["alias"], poll_seconds=1)
registry = Asset(name="restored_registry", watchers=[AssetWatcher(name="registry", trigger=trigger)])

with DAG("on_new_champion", schedule=[registry]):

    @task(inlets=[registry])
    def changes(triggering_asset_events):
        return [event.extra["payload"] for event in triggering_asset_events[registry]]

    changes()
