"""Fault injection beneath a remote endpoint, with one interface for all platforms."""

from __future__ import annotations

import copy

from airflow_mlops.backends.serving.vertex.labels import deployed_id


class ClusterFaults:
    """Faults of endpoint ``demo`` in a fake cluster."""

    def __init__(self, cluster, plural):
        self.cluster, self.plural = cluster, plural

    @property
    def target(self):
        return self.cluster.objects[self.plural, "demo"]

    def storm(self, *statuses):
        self.cluster.storm.extend(statuses)

    @property
    def storms(self):
        """The statuses that calls are still to be answered with."""
        return [status for status in self.cluster.storm if status]

    def calm(self):
        self.cluster.storm.clear()

    def lose_answers(self, count):
        self.cluster.dropped = count

    def before_each_write(self, call):
        """Call ``call`` just before the object that splits traffic is written."""

        def meddle(command, plural):
            if plural == self.plural:
                call()

        self.cluster.before_write = meddle if call else None

    def touch(self, number=0):
        """Write a field that the back end does not own, as another writer would."""
        self.cluster.patch(self.plural, "demo", {"metadata": {"labels": {"by": f"another-{number}"}}})

    def delete(self):
        self.cluster.delete(self.plural, "demo")

    def never_ready(self, version):
        self.cluster.broken |= {f"demo/{version}", f"demo-{version}"}

    def split(self):
        """Return the spec as it is now, whatever the status says."""
        return copy.deepcopy(self.target["spec"])

    def by_hand(self, percent):
        """Give the canary another share, as a person would."""
        spec = self.split()
        if self.plural == "httproutes":
            stable, canary = spec["rules"][1]["backendRefs"]
            stable["weight"], canary["weight"] = 100 - percent, percent
        elif "canary" in spec:
            spec["canary"][0]["trafficPercent"] = percent
        else:
            spec["predictor"]["canaryTrafficPercent"] = percent
        self.cluster.patch(self.plural, "demo", {"spec": spec})

    def deploys(self, version):
        """Return how many writes started a version."""
        starts = [body for verb, _, _, body in self.cluster.calls if verb in ("POST", "PATCH") and body]
        texts = [str(body.get("spec")) for body in starts if "holderIdentity" not in body.get("spec", {})]
        named = [f"demo/{version}'" in text or f"demo-{version}'" in text for text in texts]
        return sum(new and not old for old, new in zip([False, *named], named, strict=False))


class VertexFaults:
    """Faults of an endpoint in the fake Vertex AI."""

    def __init__(self, endpoints, name):
        self.endpoints, self.name = endpoints, name

    @property
    def target(self):
        return self.endpoints.endpoints[self.name]

    def storm(self, *statuses):
        self.endpoints.storm.extend(statuses)

    @property
    def storms(self):
        return [status for status in self.endpoints.storm if status]

    def calm(self):
        self.endpoints.storm.clear()

    def lose_answers(self, count):
        self.endpoints.dropped = count

    def before_each_write(self, call):
        self.endpoints.before_write = call

    def touch(self, number=0):
        self.target["labels"]["by"] = f"another-{number}"
        self.endpoints.touch(self.target)

    def delete(self):
        self.endpoints.endpoints.pop(self.name)

    def never_ready(self, version):
        self.endpoints.broken.add(f"demo@{version}")

    def split(self):
        return dict(self.target["traffic_split"])

    def by_hand(self, percent):
        one, two = deployed_id("demo", "1"), deployed_id("demo", "2")
        self.target["traffic_split"] = {one: 100 - percent, two: percent}
        self.endpoints.touch(self.target)

    def deploys(self, version):
        return [model["id"] for model in self.endpoints.deploys].count(deployed_id("demo", version))
