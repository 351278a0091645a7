"""What controllers make of objects, one step at each read; after KServe 0.20's and Knative's own rules."""

from __future__ import annotations

import json

from fakes import deployments

MODE = "serving.kserve.io/deploymentMode"


def step_inference_service(cluster, isvc, memory):
    change = (isvc["metadata"]["generation"], annotations(isvc))
    if memory.get("change") != change:
        memory["change"] = change  # not noticed before the next step
        return
    mode = isvc["metadata"].get("annotations", {}).get(MODE, "Standard")
    step = step_knative if mode in ("Knative", "Serverless") else step_standard
    step(cluster, isvc, memory, "Knative" if step is step_knative else "Standard")


def annotations(isvc):
    return json.dumps(isvc["metadata"].get("annotations"), sort_keys=True)


def step_knative(cluster, isvc, memory, mode):
    predictor = isvc["spec"]["predictor"]
    seen = dict(isvc.get("status", {}).get("components", {}).get("predictor", {}))
    revisions = memory.setdefault("revisions", [])
    # KServe copies annotations to the pods: a change of them is a new revision too
    template = (json.dumps(predictor["model"], sort_keys=True), annotations(isvc))
    if not revisions or revisions[-1]["template"] != template:
        number = len(revisions) + 1
        revisions.append({"name": f"{isvc['metadata']['name']}-predictor-{number:05}", "template": template})
    else:
        revisions[-1]["ready"] = not any(text in template[0] for text in cluster.broken | cluster.failed)
    created = revisions[-1]["name"]
    # a revision that was ready stays the latest ready one when its pods crash, until a later one is ready
    numbers = [number for number, each in enumerate(revisions) if each.get("ready")]
    memory["latest"] = max([memory.get("latest", -1), *numbers])
    ready = revisions[memory["latest"]]["name"] if memory["latest"] >= 0 else None
    crashed = {each["name"] for each in revisions if not each.get("ready")}
    seen["latestCreatedRevision"] = created
    if ready:
        seen["latestReadyRevision"] = ready
    # the Route takes no weights at all, not even 0 %, while one of its targets is not ready
    if ready and ready not in crashed:
        route(seen, ready, created, predictor.get("canaryTrafficPercent"))
    failed = any(text in template[0] for text in cluster.failed)
    model = {"transitionStatus": "BlockedByFailedLoad" if failed else "UpToDate"}
    if failed:
        model["lastFailureInfo"] = {"reason": "ModelLoadFailed", "message": "no such flavor"}
    status = {
        "deploymentMode": mode,
        "observedGeneration": 1,  # of the Knative Service: says nothing about the InferenceService
        "components": {"predictor": seen},
        "modelStatus": model,
        "conditions": [condition("PredictorReady", created == ready and created not in crashed)],
        "url": f"http://{isvc['metadata']['name']}.example.com",
    }
    cluster.set_status(isvc, status)


def route(seen, ready, created, percent):
    rolled = seen.get("latestRolledoutRevision")
    latest = {"latestRevision": True, "revisionName": ready}
    if percent is not None and rolled:
        traffic = [{**latest, "percent": percent}]
        if percent < 100:
            traffic.append(
                {"latestRevision": False, "revisionName": rolled, "percent": 100 - percent, "tag": "prev"}
            )
    else:
        traffic = [{**latest, "percent": 100}]
    first = traffic[0]["percent"]
    if rolled != ready and first == 100:
        seen["previousRolledoutRevision"] = rolled or ""
        seen["latestRolledoutRevision"] = ready
    elif rolled == ready == created and first < 100 and seen.get("previousRolledoutRevision"):
        seen["latestRolledoutRevision"] = seen["previousRolledoutRevision"]
    seen["traffic"] = traffic


def step_standard(cluster, isvc, memory, mode):
    name, spec = isvc["metadata"]["name"], isvc["spec"]
    uri = spec["predictor"]["model"]["storageUri"]
    deployment(cluster, f"{name}-predictor", uri, spec["predictor"].get("minReplicas", 1))
    entries = []
    for canary in spec.get("canary") or []:
        named = canary["predictor"]["name"]
        replicas = canary["predictor"].get("minReplicas", 0)
        wanted = canary["predictor"]["model"]["storageUri"]
        known = memory.setdefault("canaries", {}).setdefault(named, {"steps": 0})
        known["steps"] += 1
        bad = any(text in wanted for text in cluster.broken)
        ready = replicas > 0 and known["steps"] > 1 and not bad
        entries.append({"name": named, "ready": ready, "trafficPercent": canary["trafficPercent"]})
    memory["canaries"] = {e["name"]: memory["canaries"][e["name"]] for e in entries}
    conditions = [condition("PredictorReady", True), condition("IngressReady", True)]
    status = {"deploymentMode": mode, "conditions": conditions, "url": f"http://{name}.example.com"}
    if entries:
        status["canaryStatuses"] = entries
        conditions.append(condition("CanaryPredictorReady", all(e["ready"] for e in entries)))
    cluster.set_status(isvc, status)


def deployment(cluster, name, uri, replicas):
    body = deployments.deployment(name, replicas=replicas, args=[uri])
    if ("deployments", name) not in cluster.objects:
        cluster.create("deployments", body)
    elif cluster.objects["deployments", name]["spec"] != body["spec"]:
        cluster.patch("deployments", name, {"spec": body["spec"]})


def step_deployment(cluster, found, memory):
    generation, replicas = found["metadata"]["generation"], found["spec"].get("replicas", 1)
    old = found.get("status", {})
    if old.get("observedGeneration") != generation:
        cluster.set_status(found, {**old, "observedGeneration": generation, "updatedReplicas": 0})
        return
    bad = any(text in json.dumps(found) for text in cluster.broken)
    up = 0 if bad else replicas
    status = {"replicas": replicas, "updatedReplicas": replicas, "availableReplicas": up}
    cluster.set_status(found, {**old, **status})


def step_route(cluster, found, memory):
    generation = found["metadata"]["generation"]
    if memory.get("generation") != generation:
        memory["generation"] = generation
        return
    met = [
        {
            "type": kind,
            "status": "True",
            "reason": "Accepted",
            "message": "route is valid",
            "observedGeneration": generation,
            "lastTransitionTime": "2026-11-21T00:00:00Z",
        }
        for kind in ("Accepted", "ResolvedRefs")
    ]
    parent = {"parentRef": {"name": "gateway"}, "controllerName": "example.com/gateway", "conditions": met}
    cluster.set_status(found, {"parents": [parent]})


def condition(kind, holds):
    reason = {} if holds else {"reason": "RevisionMissing", "message": "still starting"}
    return {"type": kind, "status": "True" if holds else "False", **reason}


CONTROLLERS = {
    "inferenceservices": step_inference_service,
    "deployments": step_deployment,
    "httproutes": step_route,
}
