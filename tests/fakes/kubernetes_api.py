"""An API server over HTTP: resource versions, generations, merge patches, schemas, slow controllers."""

from __future__ import annotations

import copy
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from fakes import crd_schemas, deployments
from fakes.kubernetes_controllers import CONTROLLERS

PATH = re.compile(
    r"/apis/(?P<group>[^/]+)/v\w+/namespaces/(?P<ns>[^/]+)/(?P<plural>[^/?]+)(/(?P<name>[^/?]+))?"
)


class CallRefusedError(Exception):
    """An answer other than 2xx.

    :param details: what a Status names, for a reason of its own.
    """

    def __init__(self, status, message, reason="", details=None):
        super().__init__(message)
        self.status, self.reason, self.details = status, reason, details

    def document(self):
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "code": self.status,
            "message": str(self),
            **({"reason": self.reason} if self.reason else {}),
            **({"details": self.details} if self.details else {}),
        }


class Cluster:
    """Objects by plural and name.

    Controllers make one step at each read of an object, the first after a change being too early.

    :param storm: statuses that the next calls are answered with; ``None``: as usual.
    :param dropped: how many of the next changes are made, but never answered.
    :param broken: texts; what has one of them in its spec never gets ready.
    :param failed: texts; KServe says at once that it cannot load such a model.
    :param unserved: kinds whose CRD is missing, or not served yet.
    :param ahead: how far the server's clock is ahead of this machine's, in seconds.
    """

    def __init__(self):
        self.objects, self.storm, self.calls, self.history = {}, [], [], []
        self.broken, self.failed = set(), set()
        self.memory, self.version, self.before_write = {}, 0, None
        self.dropped, self.unserved, self.ahead = 0, set(), 0.0
        self.lock = threading.RLock()

    def get(self, plural, name):
        with self.lock:
            found = self._found(plural, name)
            if plural in CONTROLLERS:
                CONTROLLERS[plural](self, found, self.memory.setdefault((plural, name), {}))
            return copy.deepcopy(found)

    def labelled(self, plural, selector):
        with self.lock:
            key, _, value = selector.partition("=")
            items = [found for (kind, _), found in self.objects.items() if kind == plural]
            return {"items": [o for o in items if (o["metadata"].get("labels") or {}).get(key) == value]}

    def create(self, plural, body):
        with self.lock:
            name = body["metadata"]["name"]
            if (plural, name) in self.objects:
                going = self.objects[plural, name]["metadata"].get("deletionTimestamp")
                being = f"object is being deleted: {name}" if going else name
                raise CallRefusedError(409, f"{being} already exists", "AlreadyExists")
            fresh = {**body, "metadata": {**body["metadata"], "generation": 1, "uid": f"u{self.version}"}}
            return self._store(plural, name, fresh)

    def patch(self, plural, name, change):
        with self.lock:
            found = self._found(plural, name)
            asked = change.get("metadata", {}).get("resourceVersion")
            if asked not in (None, found["metadata"]["resourceVersion"]):
                raise CallRefusedError(409, "the object has been modified")
            fresh = merge(found, change)
            if plural in crd_schemas.KINDS:
                fresh = crd_schemas.pruned(plural, fresh)
            if fresh.get("spec") != found.get("spec"):
                fresh["metadata"]["generation"] = found["metadata"]["generation"] + 1
            return self._store(plural, name, fresh)

    def restart(self, denied=3):
        """Begin anew, as a server does: away, then without its rights, then as before."""
        self.storm.extend([503, 503, *[403] * denied])

    def delete(self, plural, name, body=None):
        """Delete an object; one with finalizers stays, marked, until the last of them is taken away."""
        with self.lock:
            found = self._found(plural, name)
            asked = ((body or {}).get("preconditions") or {}).get("resourceVersion")
            if asked not in (None, found["metadata"]["resourceVersion"]):
                raise CallRefusedError(409, "precondition failed", "Conflict")
            if found["metadata"].get("finalizers"):
                found["metadata"].setdefault("deletionTimestamp", "2026-11-30T00:00:00Z")
                return self._store(plural, name, found)
            self.memory.pop((plural, name), None)
            return self.objects.pop((plural, name))

    def finalize(self, plural, name):
        """Take away the finalizers, as the controller does that has cleaned up."""
        with self.lock:
            self._found(plural, name)["metadata"].pop("finalizers", None)
            self.delete(plural, name)

    def set_status(self, target, status):
        """Write the status subresource: a new resource version, the same generation."""
        if target.get("status") != status:
            self.version += 1
            self.history.append(copy.deepcopy(status))
            target["status"] = status
            target["metadata"]["resourceVersion"] = str(self.version)

    def _found(self, plural, name):
        if (plural, name) not in self.objects:
            details = {"name": name, "kind": plural}
            raise CallRefusedError(404, f'{plural} "{name}" not found', "NotFound", details)
        return self.objects[plural, name]

    def _store(self, plural, name, fresh):
        if plural in crd_schemas.KINDS:
            why = crd_schemas.problem(plural, fresh) or webhook(plural, fresh)
            if why:
                raise CallRefusedError(422, why, "Invalid")
        if plural == "deployments" and (why := deployments.problem(fresh, self.objects.get((plural, name)))):
            raise CallRefusedError(422, f"Deployment {name}: {why}", "Invalid")
        self.version += 1
        fresh["metadata"]["resourceVersion"] = str(self.version)
        self.objects[plural, name] = fresh
        return copy.deepcopy(fresh)


def merge(old, change):
    """RFC 7386."""
    if not isinstance(change, dict):
        return copy.deepcopy(change)
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return copy.deepcopy(merged)


def webhook(plural, body):
    """What KServe's admission webhook refuses beyond the schema."""
    canaries = body["spec"].get("canary") if plural == "inferenceservices" else None
    if not canaries:
        return ""
    annotations = body["metadata"].get("annotations") or {}
    if annotations.get("serving.kserve.io/deploymentMode") != "Standard":
        return "canary is only supported in Standard deployment mode"
    if any("maxReplicas" in c["predictor"] for c in canaries):
        return "canary must not set maxReplicas"
    stable = body["spec"]["predictor"].get("minReplicas", 1)
    if any(c["predictor"].get("minReplicas", 0) > stable for c in canaries):
        return "canary minReplicas must not exceed stable predictor minReplicas"
    return ""


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def date_time_string(self, timestamp=None):
        now = time.time() if timestamp is None else timestamp
        return super().date_time_string(now + self.server.cluster.ahead)

    def _answer(self, call):
        cluster, length = self.server.cluster, int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        where = PATH.match(self.path).groupdict()
        cluster.calls.append((self.command, where["plural"], where["name"], body))
        try:
            if cluster.storm and (refused := cluster.storm.pop(0)):
                raise CallRefusedError(refused, "storm")
            if where["plural"] in cluster.unserved:
                raise CallRefusedError(404, "404 page not found")
            if self.command != "GET" and cluster.before_write:
                cluster.before_write(self.command, where["plural"])
            if self.command == "PATCH" and "merge-patch" not in self.headers["Content-Type"]:
                raise CallRefusedError(415, "only merge patches")
            status, answer = 200, call(where, body)
            if self.command != "GET" and cluster.dropped:
                cluster.dropped -= 1
                raise CallRefusedError(504, "the answer was lost")
        except CallRefusedError as error:
            status, answer = error.status, error.document()
        unknown = where["plural"] in cluster.unserved and status == 404
        data = b"404 page not found\n" if unknown else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8" if unknown else "application/json")
        self.send_header("Content-Length", str(len(data)))
        if status == 429:
            self.send_header("Retry-After", "3")
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self._answer(self._read)

    def _read(self, at, body):
        if at["name"]:
            return self.server.cluster.get(at["plural"], at["name"])
        return self.server.cluster.labelled(
            at["plural"], parse_qs(urlsplit(self.path).query)["labelSelector"][0]
        )

    def do_POST(self):
        self._answer(lambda at, body: self.server.cluster.create(at["plural"], body))

    def do_PATCH(self):
        self._answer(lambda at, body: self.server.cluster.patch(at["plural"], at["name"], body))

    def do_DELETE(self):
        self._answer(lambda at, body: self.server.cluster.delete(at["plural"], at["name"], body))


class ApiServer:
    """A cluster that listens on 127.0.0.1 while the block runs."""

    def __init__(self):
        self.cluster = Cluster()

    def __enter__(self):
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.cluster, self.http.daemon_threads = self.cluster, True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(
            target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()
