"""The reaper as it is shipped: CronJob and Compose service are what they should be, and really run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from fakes.kubernetes_client import kubernetes_connection
from fakes.remote_serving import ENDPOINT, kserve
from fakes.vertex import FakeEndpoints
from fakes.vertex_grpc import listening
from kubernetes.client import ApiClient

from airflow_mlops.backends.serving.local.state import StateFile
from airflow_mlops.cli import main
from airflow_mlops.core.rollout.lease import Lease
from airflow_mlops.hooks.serving import ServingHook

ROOT = Path(__file__).parents[2]
MANIFEST = list(yaml.safe_load_all((ROOT / "docs" / "how-to" / "reaper-cronjob.yaml").read_text()))
ME = "demo__rollout/run-1"
VERBS = {"PATCH": "patch", "POST": "create", "DELETE": "delete"}
PROGRAM = [sys.executable, "-c", "from airflow_mlops.cli import main; import sys; sys.exit(main())"]


def of_kind(kind):
    return next(document for document in MANIFEST if document["kind"] == kind)


def container():
    return of_kind("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]


@pytest.mark.parametrize("document", MANIFEST, ids=lambda document: document["kind"])
def test_manifest_is_what_the_typed_client_knows_and_nothing_more(document):
    client = ApiClient()
    typed = client.deserialize(SimpleNamespace(data=json.dumps(document)), f"V1{document['kind']}")
    assert client.sanitize_for_serialization(typed) == document
    assert document["metadata"]["namespace"] == "models"


def unwatched(backend):
    """A canary at 25 % whose rollout died an hour ago."""
    backend.claim("demo", ME)
    backend.deploy("demo", "1", None, holder=ME)
    backend.promote("demo", "1", holder=ME)
    backend.deploy("demo", "2", None, holder=ME)
    backend.take_lease("demo", ME, now=time.time() - 3600, seconds=60)
    assert backend.set_traffic("demo", "2", 25, holder=ME).canary_percent == 25


def address(backend):
    return backend.platform.objects.client.api_client.configuration.host


def test_command_of_the_cron_job_stops_a_canary_with_no_more_rights_than_it_has(tmp_path):
    given = {entry["name"]: entry["value"] for entry in container()["env"]}
    command = container()["command"]
    assert command[0] == "airflow-mlops"
    with kserve("Standard") as backend:
        unwatched(backend)
        backend.cluster.calls.clear()
        # the cluster's own address and account cannot be had here; the rest is as in the manifest
        here = {
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW_CONN_KUBERNETES_DEFAULT": kubernetes_connection(address(backend)),
        }
        assert here.keys() < given.keys()
        done = subprocess.run(
            [*PROGRAM, *command[1:]], env={**os.environ, **given, **here}, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (0, f"demo: canary at 0 %, lease of {ME} expired\n"), done
        canary = backend.cluster.objects["inferenceservices", "demo"]["spec"]["canary"][0]
        assert canary["trafficPercent"] == 0
        needed = {(plural, VERBS.get(verb) or needs(name)) for verb, plural, name, _ in backend.cluster.calls}
    allowed = {
        (resource, verb)
        for rule in of_kind("Role")["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert needed <= allowed
    assert ("leases", "list") in needed


def needs(name):
    return "get" if name else "list"


def test_cron_job_runs_under_the_account_that_has_the_rights():
    account = of_kind("ServiceAccount")["metadata"]["name"]
    pod = of_kind("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    binding = of_kind("RoleBinding")
    assert pod["serviceAccountName"] == account == binding["subjects"][0]["name"]
    assert binding["roleRef"]["name"] == of_kind("Role")["metadata"]["name"]


def test_endpoints_of_a_vertex_connection_are_looked_after(monkeypatch, capsys):
    fake = FakeEndpoints()
    fake.make(ENDPOINT)
    extra = {
        "backend": "vertex",
        "models": "projects/p/locations/europe-west4/models/{endpoint}@{version}",
        "endpoints": {"demo": ENDPOINT},
        "poll_seconds": 0.01,
    }
    monkeypatch.setenv("AIRFLOW_CONN_V", json.dumps({"conn_type": "mlops_serving", "extra": extra}))
    with listening(fake):
        backend = ServingHook("v").backend()
        unwatched(backend)
        assert main(["reap", "--conn", "v"]) == 0
        assert backend.traffic("demo").canary_percent == 0
        fake.endpoints.clear()
        assert main(["reap", "--conn", "v"]) == 2
    said = capsys.readouterr()
    assert said.out == f"demo: canary at 0 %, lease of {ME} expired\n"
    assert said.err.startswith(f"error: demo: get {ENDPOINT}: endpoint not found")


def test_cluster_that_cannot_be_read_is_an_error_and_not_all_is_well(monkeypatch, capsys):
    extra = {"backend": "kserve", "models": "s3://models/{endpoint}/{version}"}
    monkeypatch.setenv("AIRFLOW_CONN_K", json.dumps({"conn_type": "mlops_serving", "extra": extra}))
    with kserve("Standard") as backend:
        monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", kubernetes_connection(address(backend)))
        backend.faults.storm(403)
        assert main(["reap", "--conn", "k"]) == 2
        assert "error: list leases models/: 403" in capsys.readouterr().err
        assert main(["reap", "--conn", "k"]) == 0


def test_service_of_compose_goes_on_looking_until_it_is_stopped(tmp_path):
    compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]["reaper"]
    command = compose["command"].replace("/var/lib/serving", str(tmp_path)).replace("--every 10", "--every 1")
    program, *arguments = command.split()
    assert (program, arguments[-2:]) == ("airflow-mlops", ["--every", "1"])
    unwatched_here(tmp_path, "first")
    with subprocess.Popen([*PROGRAM, *arguments], stdout=subprocess.PIPE, text=True) as reaper:
        try:
            assert reaper.stdout.readline() == "first: canary at 0 %, lease of r expired\n"
            unwatched_here(tmp_path, "second")
            assert reaper.stdout.readline() == "second: canary at 0 %, lease of r expired\n"
        finally:
            reaper.terminate()
    assert StateFile(tmp_path / "second", "second").read().percent == 0


def unwatched_here(folder, endpoint):
    with StateFile(folder / endpoint, endpoint).locked() as state:
        state.stable, state.canary, state.percent = "1", "2", 25
        state.lease = Lease(holder="r", token=1, expires_at=1.0)
