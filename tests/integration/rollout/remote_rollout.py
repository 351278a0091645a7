"""Rolls out by Airflow's own task machinery on remote back ends: a program of its own.

``python remote_rollout.py FOLDER [BACKEND …]``: makes a database below FOLDER and, on each back end, rolls
out version 2, which is good, and then version 3, which is bad; prints as JSON what became of them.
Connections, hooks, clients, Prometheus and the API server are reached as in production; only MLflow is kept
in memory.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # builders and fakes

DAG_FILE = """
from airflow.sdk import DAG
from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.dag_factories.rollout import ROLLOUT_FORM, canary_rollout

plan = RolloutPlan(steps=(10, 50, 100), bake_seconds=0.0, window_seconds=0.1, max_error_rate=0.1, burst=1)
with DAG("demo__rollout", schedule=None, params=ROLLOUT_FORM) as dag:
    canary_rollout(model="demo", version="{{ params.version }}", plan=plan)
"""
COUNTS = {"requests": 'requests_total{version="$version"}', "errors": 'errors_total{version="$version"}'}
KSERVE = {
    "backend": "kserve",
    "models": "s3://models/{endpoint}/{version}",
    "predictor": {"model": {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2"}, "minReplicas": 2},
}
EXTRAS = {
    "kserve-knative": {**KSERVE, "mode": "Knative"},
    "kserve-standard": {**KSERVE, "mode": "Standard"},
    "http_route": {"backend": "http_route", "services": "{endpoint}-{version}"},
    "vertex": {
        "backend": "vertex",
        "models": "projects/p/locations/europe-west4/models/{endpoint}@{version}",
        "endpoints": {"demo": "projects/p/locations/europe-west4/endpoints/7"},
    },
}


@contextmanager
def somewhere(name):
    """Yield a function that returns which share each write gave a version, oldest first."""
    from fakes.kubernetes_api import ApiServer
    from fakes.kubernetes_client import kubernetes_connection
    from fakes.remote_serving import ENDPOINT, deploy_demo, written
    from fakes.vertex import FakeEndpoints
    from fakes.vertex_grpc import listening

    if name == "vertex":
        fake = FakeEndpoints()
        fake.make(ENDPOINT)
        with listening(fake):
            yield lambda version: [split.get(label(name, version), 0) for split in fake.splits]
        return
    with ApiServer() as server:
        os.environ["AIRFLOW_CONN_KUBERNETES_DEFAULT"] = kubernetes_connection(server.url)
        deploy_demo(server.cluster)
        plural, share = ("httproutes", in_route) if name == "http_route" else ("inferenceservices", in_kserve)
        yield lambda version: [share(spec, version) for spec in written(server.cluster, plural)]


def in_route(spec, version):
    refs = spec["rules"][1]["backendRefs"]
    return sum(ref["weight"] for ref in refs if ref["name"] == f"demo-{version}")


def in_kserve(spec, version):
    uri, predictor = f"s3://models/demo/{version}", spec["predictor"]
    for canary in spec.get("canary") or []:
        if canary["predictor"]["model"]["storageUri"] == uri:
            return canary["trafficPercent"]
    if predictor["model"]["storageUri"] != uri:
        return 0
    percent = predictor.get("canaryTrafficPercent")
    return 100 if percent is None else percent


def label(name, version):
    """Return what a version is called in metrics while it is the canary."""
    from airflow_mlops.backends.serving.vertex.labels import deployed_id

    return {
        "kserve-knative": f"demo-predictor-{int(version):05}",
        "kserve-standard": f"demo-v{version}-predictor",
        "http_route": f"demo-{version}",
        "vertex": deployed_id("demo", version),
    }[name]


def in_memory(folder):
    """Keep MLflow in memory; version 1 is champion."""
    from builders import VALIDATED, promotion

    from airflow_mlops.backends.evidence.in_memory import InMemoryEvidence
    from airflow_mlops.backends.registry.in_memory import InMemoryRegistry
    from airflow_mlops.hooks.mlflow import MlflowHook

    registry, evidence = InMemoryRegistry(), InMemoryEvidence()
    (folder / "MLmodel").write_text("flavors: {}\n")
    for number in ("1", "2", "3"):
        registry.register("demo", f"run-of-{number}", str(folder), VALIDATED)
    registry.promote(promotion("demo", None, "1"))
    MlflowHook.registry = lambda self: registry
    MlflowHook.evidence = lambda self: evidence
    MlflowHook.ui_url = lambda self, run: ""
    return registry


def roll_out(dag, version, backend, shares):
    began = len(shares(version))
    run = dag.test(run_conf={"version": version})
    tasks = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
    seen = [share for share, _ in groupby(shares(version)[began:])]
    return {
        "run": str(run.state),
        "tasks": tasks,
        "traffic": backend.traffic("demo").to_json(),
        "shares": seen,
    }


def on(name, dag, folder):
    """Roll out both versions on one back end."""
    from builders import bring_into_service
    from fakes.prometheus import Prometheus

    from airflow_mlops.hooks.serving import ServingHook

    registry = in_memory(folder)
    with somewhere(name) as shares, Prometheus() as counted:
        extra = {**EXTRAS[name], "prometheus": {"url": counted.url, **COUNTS}, "poll_seconds": 0.01}
        serving = {"conn_type": "mlops_serving", "extra": extra}
        os.environ["AIRFLOW_CONN_MLOPS_SERVING"] = json.dumps(serving)
        backend = ServingHook().backend()
        bring_into_service(backend, "demo", "1", None)
        counted.refusals = 5
        good = roll_out(dag, "2", backend, shares)
        counted.bad = {label(name, "3"): 0.2}
        bad = roll_out(dag, "3", backend, shares)
    return {
        "good": good,
        "bad": bad,
        "champion": registry.alias("demo", "champion"),
        "asked": label(name, "2") in counted.asked,
    }


def main(folder, only):
    from airflow.utils.db import initdb

    file = folder / "dags" / "demo_rollout_dag.py"
    file.parent.mkdir()
    file.write_text(DAG_FILE)
    initdb()
    names = {}
    exec(compile(DAG_FILE, str(file), "exec"), names)  # noqa: S102 - written above
    ended = {name: on(name, names["dag"], folder) for name in only or EXTRAS}
    sys.stdout.write(json.dumps(ended) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
