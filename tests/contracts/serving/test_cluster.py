"""The contract also runs over a cluster that KUBECONFIG names; a fake cluster takes its place here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml
from fakes.cluster import EXTRAS
from fakes.kubernetes_api import ApiServer
from fakes.kubernetes_client import kube_config
from fakes.remote_serving import deploy_demo

HERE = Path(__file__).parent
FILES = ("test_traffic.py", "test_leases.py", "test_stop.py")
GUIDE = HERE.parents[2] / "docs" / "how-to" / "serving-backends.md"
VERBS = {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete"}


def granted():
    """Return the rights of the role in the guide: kind to verbs."""
    text = re.search(r"```yaml\n(apiVersion: rbac.*?)```", GUIDE.read_text(), re.DOTALL)[1]
    rules = yaml.safe_load(text)["rules"]
    return {(kind, verb) for rule in rules for kind in rule["resources"] for verb in rule["verbs"]}


def run(tmp_path, **settings):
    files = [str(HERE / name) for name in FILES]
    arguments = [*files, "-q", "-k", "cluster-", "-p", "no:cacheprovider", "--no-header"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        capture_output=True,
        text=True,
        cwd=HERE.parents[2],
        env={**os.environ, **settings},
        timeout=300,
    )
    return done.returncode, done.stdout


def test_cluster_that_kubeconfig_leads_to_is_put_to_the_contract(tmp_path):
    file = tmp_path / "config"
    with ApiServer() as server:
        deploy_demo(server.cluster)
        file.write_text(json.dumps(kube_config(server.url)))
        settings = {"KUBECONFIG": str(file), "MLOPS_TEST_NAMESPACE": "models"}
        code, said = run(tmp_path, MLOPS_TEST_POLL_SECONDS="0.01", **settings)
        left = sorted(server.cluster.objects)
        used = {
            (plural, "list" if verb == "GET" and not name else VERBS[verb])
            for verb, plural, name, _ in server.cluster.calls
        }
        written = {(plural, name) for verb, plural, name, _ in server.cluster.calls if verb == "PATCH"}
    assert code == 0, said
    passed = int(re.search(r"(\d+) passed", said)[1])
    assert passed % len(EXTRAS) == 0
    assert passed >= 20 * len(EXTRAS)
    leases = {("leases", f"mlops.{kind}.demo") for kind in ("inferenceservices", "httproutes")}
    assert {("inferenceservices", "demo"), ("httproutes", "demo"), *leases} <= written
    assert used <= granted()  # the role in the guide covers what the contract does
    assert [key for key in left if key[0] != "deployments"] == [("httproutes", "demo")]


def test_no_cluster_is_touched_without_the_name_of_a_namespace(tmp_path):
    code, said = run(tmp_path, KUBECONFIG=str(tmp_path / "config"), MLOPS_TEST_NAMESPACE="")
    assert (code, "passed" in said) == (5, False)
