"""In-memory Vertex AI endpoint service: etags, validated splits, operations that end after some polls."""

from __future__ import annotations

import copy

from airflow_mlops.backends.serving.remote.retry import RefusedError


class FakeEndpoints:
    """Implements ``EndpointsClient``.

    :param storm: statuses with which the next calls are refused; ``None``: not refused.
    :param dropped: number of the next updates that are made but not answered.
    :param polls: number of polls after which an operation ends.
    :param broken: texts; a deployment fails when its model contains one.
    """

    def __init__(self, polls=2):
        self.endpoints, self.operations = {}, {}
        self.storm, self.deploys, self.polls, self.broken = [], [], polls, set()
        self.count = 0
        self.before_write, self.dropped, self.splits = None, 0, []

    def make(self, name):
        self.endpoints[name] = {
            "name": name,
            "etag": "0",
            "labels": {"team": "flights"},
            "traffic_split": {},
            "deployed_models": [],
        }

    def touch(self, found):
        self.count += 1
        found["etag"] = str(self.count)

    def get(self, name):
        for running in [op for op in self.operations.values() if not op["done"]]:
            self._poll(running)  # a read advances every operation
        return copy.deepcopy(self._found(name))

    def update(self, name, *, etag, labels, split):
        found = self._found(name)
        if self.before_write:
            self.before_write()
        if etag != found["etag"]:
            raise RefusedError(409, "etag mismatch")
        ids = {model["id"] for model in found["deployed_models"]}
        if split and (sum(split.values()) != 100 or set(split) - ids):
            raise RefusedError(400, f"traffic_split {split} of {ids}")
        assert len(labels) <= 64
        assert all(len(value) <= 63 for value in labels.values())
        found["labels"], found["traffic_split"] = dict(labels), dict(split)
        self.splits.append(dict(split))
        self.touch(found)
        if self.dropped:
            self.dropped -= 1
            raise RefusedError(503, "the answer was lost")

    def deploy(self, name, deployed_model):
        found = self._found(name)
        running = [op for op in self.operations.values() if op["kind"] == "deploy" and not op["done"]]
        begun = {op["model"]["id"] for op in running if not op["error"]}
        if deployed_model["id"] in {model["id"] for model in found["deployed_models"]} | begun:
            raise RefusedError(409, "already exists")
        self.deploys.append(deployed_model)
        error = "model cannot be loaded" if any(b in deployed_model["model"] for b in self.broken) else ""
        return self._begin(name, "deploy", deployed_model, error)

    def undeploy(self, name, deployed_model_id):
        found = self._found(name)
        if found["traffic_split"].get(deployed_model_id):
            raise RefusedError(400, "deployed model still has traffic")
        return self._begin(name, "undeploy", {"id": deployed_model_id}, "")

    def operation(self, name):
        self._storm()
        if name not in self.operations:
            raise RefusedError(404, name)
        found = self.operations[name]
        self._poll(found)
        return found["polls"] <= 0, found["error"] if found["polls"] <= 0 else ""

    def _poll(self, operation):
        operation["polls"] -= 1
        if operation["polls"] <= 0:
            self._end(operation)

    def _begin(self, endpoint, kind, model, error):
        name = f"{endpoint}/operations/{len(self.operations) + 1}"
        self.operations[name] = {
            "endpoint": endpoint,
            "kind": kind,
            "model": model,
            "error": error,
            "polls": self.polls,
            "done": False,
        }
        return name

    def _end(self, operation):
        if operation["done"] or operation["error"]:
            return
        operation["done"] = True
        found = self.endpoints[operation["endpoint"]]
        kept = [m for m in found["deployed_models"] if m["id"] != operation["model"]["id"]]
        added = [operation["model"]] if operation["kind"] == "deploy" else []
        found["deployed_models"] = kept + added
        self.touch(found)

    def _found(self, name):
        self._storm()
        if name not in self.endpoints:
            raise RefusedError(404, name)
        return self.endpoints[name]

    def _storm(self):
        if self.storm and (refused := self.storm.pop(0)):
            raise RefusedError(refused, "storm")
