"""Writes deferred analyses into Airflow's database as the execution API does when a task defers."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from airflow.models.dagbundle import DagBundleModel
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.trigger import Trigger
from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.sdk import DAG
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType

from airflow_mlops.backends.serving.local.backend import LocalServing
from airflow_mlops.backends.serving.local.state import StateFile
from airflow_mlops.core.rollout.machine import begin, begin_step
from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.observe import first_reading
from airflow_mlops.sensors.canary import CanaryAnalysisSensor
from airflow_mlops.triggers.canary import CanaryAnalysisTrigger

BUNDLE = "bench"


def write_dag(plan, session):
    with DAG("many__rollout", schedule=None) as dag:
        CanaryAnalysisSensor(task_id="analyse", model="m", plan=plan, state={})
    lazy = LazyDeserializedDAG.from_dag(dag)
    session.add(DagBundleModel(name=BUNDLE))
    session.flush()
    SerializedDAG.bulk_write_to_db(BUNDLE, None, [lazy], session=session)
    SerializedDagModel.write_dag(lazy, bundle_name=BUNDLE, session=session)
    session.flush()
    return SerializedDagModel.get("many__rollout", session=session).dag


def trigger_of(serving, endpoint, plan):
    begun, now = begin(plan, "2", "1"), time.time()
    reading = first_reading(serving, endpoint, begun, now=now)
    lease = StateFile(serving.state_dir / endpoint, endpoint).read().lease
    state = replace(begin_step(begun, 20, reading, now=now), lease=lease)
    return CanaryAnalysisTrigger(
        serving_conn_id="mlops_serving", endpoint=endpoint, plan=plan.to_json(), state=state.to_json()
    )


def plain_trigger(at, index, count):
    """Return the control: Airflow's own trigger; all fire within ten seconds, as analyses decide."""
    return DateTimeTrigger(moment=datetime.fromtimestamp(at + 10.0 * index / count, UTC))


def defer(dag, trigger, run_id, session):
    """Write a run whose only task waits for a trigger."""
    row = Trigger.from_object(trigger)
    session.add(row)
    session.flush()
    run = dag.create_dagrun(
        run_id=run_id,
        run_after=datetime.now(UTC),
        run_type=DagRunType.MANUAL,
        triggered_by=DagRunTriggeredByType.TEST,
        state=DagRunState.RUNNING,
        session=session,
    )
    (task,) = run.get_task_instances(session=session)
    task.state, task.trigger_id, task.try_number = TaskInstanceState.DEFERRED, row.id, 1
    task.next_method, task.next_kwargs = "execute_complete", {}


def main(site_file):
    known = json.loads(Path(site_file).read_text())
    plan, serving = RolloutPlan.from_json(known["plan"]), LocalServing(Path(known["state_dir"]))
    with create_session() as session:
        dag = write_dag(plan, session)
        endpoints, at = known["endpoints"], known.get("control_at")
        for index, endpoint in enumerate(endpoints):
            plain = at and plain_trigger(at, index, len(endpoints))
            defer(dag, plain or trigger_of(serving, endpoint, plan), endpoint, session)


if __name__ == "__main__":
    main(sys.argv[1])
