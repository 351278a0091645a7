from __future__ import annotations

import time
from dataclasses import replace

import pytest
from fakes.kubernetes_client import objects_client
from fakes.remote_serving import ISVC, in_both_modes, kserve, pauses, uri_of
from serving_contract import ME, shape

from airflow_mlops.backends.serving.remote.backend import RemoteServing
from airflow_mlops.core.errors import (
    AccessDeniedError,
    EndpointBusyError,
    EndpointMissingError,
    InvalidConfigError,
    ServiceUnavailableError,
)
from airflow_mlops.core.rollout.counters import Reading, ReadingStatus
from airflow_mlops.core.rollout.machine import begin, begin_step
from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.core.rollout.state import Phase
from airflow_mlops.observe import analyse_window, intervention


@in_both_modes
def test_canary_that_never_gets_ready_is_taken_back(serve, mode, tmp_path):
    backend = serve(mode, canary=False)
    backend.cluster.broken.add("demo/2")
    with pytest.raises(ServiceUnavailableError, match="not ready after 60 s"):
        backend.deploy("demo", "2", tmp_path, holder=ME)
    assert uri_of(backend) == "s3://models/demo/1"
    assert "canary" not in backend.cluster.objects[ISVC]["spec"]
    assert shape(backend.traffic("demo")) == ("1", None, 0)
    backend.cluster.broken.clear()
    assert shape(backend.deploy("demo", "3", tmp_path, holder=ME)) == ("1", "3", 0)


@in_both_modes
def test_readiness_of_the_canary_before_is_not_taken_for_the_next_ones(serve, mode, tmp_path):
    backend = serve(mode)
    backend.cluster.broken.add("demo/3")
    with pytest.raises(ServiceUnavailableError, match="not ready after 60 s"):
        backend.deploy("demo", "3", tmp_path, holder=ME)
    assert shape(backend.traffic("demo")) == ("1", None, 0)


def test_model_that_kserve_cannot_load_is_not_waited_for(serve, tmp_path):
    backend = serve("Knative", canary=False)
    backend.cluster.failed.add("demo/2")
    before = sum(pauses(backend))
    with pytest.raises(ServiceUnavailableError, match="BlockedByFailedLoad ModelLoadFailed no such flavor"):
        backend.deploy("demo", "2", tmp_path, holder=ME)
    assert sum(pauses(backend)) - before < 20
    assert uri_of(backend) == "s3://models/demo/1"


@in_both_modes
@pytest.mark.parametrize("storm", [[429], [500, 503, 429], [502] * 5])
def test_storm_that_passes_is_waited_out(serve, mode, storm):
    backend = serve(mode)
    backend.cluster.storm.extend(storm)
    assert shape(backend.set_traffic("demo", "2", 5, holder=ME)) == ("1", "2", 5)
    assert max(pauses(backend)) >= (3 if 429 in storm else 8)


def test_storm_without_end_is_a_transient_error_and_moves_nothing(serve):
    backend = serve("Knative")
    before = dict(backend.cluster.objects[ISVC]["spec"])
    backend.cluster.storm.extend([500] * 50)
    with pytest.raises(
        ServiceUnavailableError, match=r"get leases models/mlops.inferenceservices.demo: 500 .* 6 attempts"
    ):
        backend.set_traffic("demo", "2", 5, holder=ME)
    assert backend.cluster.objects[ISVC]["spec"] == before


@pytest.mark.parametrize("verb", ["PATCH"])
def test_write_in_between_is_read_again(serve, verb):
    backend = serve("Knative")
    left = [2]

    def relabel(command, plural):
        if plural == "inferenceservices" and left[0]:
            left[0] -= 1
            backend.cluster.patch(*ISVC, {"metadata": {"labels": {"by": f"another-{left[0]}"}}})

    backend.cluster.before_write = relabel
    assert shape(backend.set_traffic("demo", "2", 5, holder=ME)) == ("1", "2", 5)
    assert left == [0]
    assert backend.cluster.objects[ISVC]["metadata"]["labels"] == {"by": "another-0"}
    left[0] = 50
    with pytest.raises(
        ServiceUnavailableError, match="conflict: changed by another writer in each of 6 attempts"
    ):
        backend.set_traffic("demo", "2", 6, holder=ME)


@in_both_modes
@pytest.mark.parametrize("then", [5, 25, "promote", "roll_back"])
def test_death_between_the_two_writes_is_carried_on_from(serve, mode, then, monkeypatch):
    backend = serve(mode)

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(backend.platform, "_write", die)
        with pytest.raises(KeyboardInterrupt):
            backend.set_traffic("demo", "2", 5, holder=ME)
    if isinstance(then, int):
        assert shape(backend.set_traffic("demo", "2", then, holder=ME)) == ("1", "2", then)
    else:
        wanted = ("2", None, 0) if then == "promote" else ("1", None, 0)
        assert shape(getattr(backend, then)("demo", "2", holder=ME)) == wanted


@in_both_modes
@pytest.mark.parametrize("call", ["promote", "roll_back"])
@pytest.mark.parametrize("survived", [0, 1])
def test_promotion_or_rollback_is_carried_on_with_when_it_died(serve, mode, call, survived, monkeypatch):
    backend = serve(mode)
    backend.set_traffic("demo", "2", 50, holder=ME)
    write, left = backend.platform._write, [survived]

    def die(*args):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        write(*args)

    wanted = ("2", None, 0) if call == "promote" else ("1", None, 0)
    with monkeypatch.context() as patch:
        patch.setattr(backend.platform, "_write", die)
        try:
            getattr(backend, call)("demo", "2", holder=ME)
        except KeyboardInterrupt:
            left[0] = -1
    assert shape(getattr(backend, call)("demo", "2", holder=ME)) == wanted
    backend.clean_up("demo", holder=ME)
    assert uri_of(backend) == f"s3://models/demo/{wanted[0]}"


@in_both_modes
def test_endpoint_deleted_in_the_middle_is_named_and_made_again_after_a_claim(serve, mode, tmp_path):
    backend = serve(mode)
    backend.cluster.delete(*ISVC)
    for call in (
        lambda: backend.set_traffic("demo", "2", 5, holder=ME),
        lambda: backend.promote("demo", "2", holder=ME),
        lambda: backend.traffic("demo"),
    ):
        with pytest.raises(EndpointMissingError, match="models/demo: deleted while version 1 served"):
            call()
    backend.claim("demo", ME)
    assert shape(backend.traffic("demo")) == (None, None, 0)
    backend.deploy("demo", "1", tmp_path, holder=ME)
    assert shape(backend.promote("demo", "1", holder=ME)) == ("1", None, 0)


@pytest.mark.parametrize(
    ("status", "error"), [(403, AccessDeniedError), (401, AccessDeniedError), (422, InvalidConfigError)]
)
def test_refusal_says_who_can_act(serve, status, error):
    backend = serve("Knative")
    backend.cluster.storm.append(status)
    with pytest.raises(error, match=rf"get leases models/mlops.inferenceservices.demo.*{status}"):
        backend.traffic("demo")


@pytest.mark.parametrize("known", [True, False])
def test_one_of_two_that_claim_at_once_gets_the_endpoint(known):
    with kserve("Knative") as backend:
        if known:
            backend.claim("demo", "before")
            backend.release("demo", "before")
        other, left = RemoteServing(backend.platform), [1]

        def claim_first(command, plural):
            if left[0]:
                left[0] = 0
                other.claim("demo", "rollout/run-2")

        backend.cluster.before_write = claim_first
        with pytest.raises(EndpointBusyError, match="held by rollout/run-2, not by rollout/run-1"):
            backend.claim("demo", ME)
        assert backend.traffic("demo").holder == "rollout/run-2"
        lease = backend.cluster.objects["leases", "mlops.inferenceservices.demo"]
        assert lease["spec"]["holderIdentity"] == "rollout/run-2"


def test_server_that_is_not_there_is_asked_again_and_then_named(serve):
    backend = serve("Knative")
    backend.platform.objects.client = objects_client("http://127.0.0.1:9")
    with pytest.raises(
        ServiceUnavailableError, match=r"leases models/mlops.inferenceservices.demo: no answer .*6 attempts"
    ):
        backend.traffic("demo")
    assert pauses(backend)[-5:] == [0.5, 1.0, 2.0, 4.0, 8.0]


def crash(backend, version="2"):
    backend.cluster.broken.add(f"demo/{version}")
    for _ in range(3):
        backend.cluster.get(*ISVC)


class Silent:
    """A source of counts that no longer sees the canary."""

    def read(self, arms, after, *, now):
        return None


@in_both_modes
def test_canary_whose_pods_crash_is_nobodys_intervention_and_ends_at_the_deadline(serve, mode):
    backend, now = serve(mode), time.time()
    rollout = RolloutPlan(steps=(20, 50), bake_seconds=60.0, deadline_seconds=600.0, window_seconds=30.0)
    lease = backend.take_lease("demo", ME, now=now, seconds=300.0)
    backend.set_traffic("demo", "2", 20, holder=ME, lease=lease)
    state = replace(begin_step(begin(rollout, "2", "1"), 20, Reading(until=now), now=now), lease=lease)
    crash(backend)
    assert intervention(backend.traffic("demo"), state) == ""
    for number in range(1, 21):
        assert state.phase is Phase.STEPPING
        later = now + 30.0 * number
        state = analyse_window(backend, "demo", rollout, state, now=later, metrics=Silent())
    assert (state.phase, state.arrivals) == (Phase.ROLLED_BACK, {ReadingStatus.MISSING: 20})
    assert "no decision at 20 % within 600 s" in state.reasons[0]


def test_canary_of_which_kserve_reports_nothing_is_missing_data(serve):
    backend = serve("Standard")
    backend.set_traffic("demo", "2", 20, holder=ME)
    backend.cluster.objects[ISVC]["status"].pop("canaryStatuses")
    backend.cluster.memory[("inferenceservices", "demo")]["change"] = None
    with pytest.raises(ServiceUnavailableError, match="demo: KServe reports no canary"):
        backend.traffic("demo")


def shares(backend):
    """Return the share of each revision, or the canary's, as the routes have them."""
    for _ in range(4):
        status = backend.cluster.get(*ISVC)["status"]
    if "components" not in status:
        ready = [each for each in status.get("canaryStatuses", ()) if each["ready"]]
        return {each["name"]: each["trafficPercent"] for each in ready}
    found = status["components"]["predictor"]["traffic"]
    return {each["revisionName"][-1]: each["percent"] for each in found}


@in_both_modes
def test_canary_whose_pods_crash_gets_no_more_and_is_not_promoted(serve, mode):
    backend = serve(mode)
    backend.set_traffic("demo", "2", 20, holder=ME)
    crash(backend)
    before = backend.cluster.objects[ISVC]["spec"]
    with pytest.raises(ServiceUnavailableError, match=r"not ready after 60 s: .* is no(t| longer) ready"):
        backend.set_traffic("demo", "2", 50, holder=ME)
    with pytest.raises(ServiceUnavailableError, match=r"not ready after 60 s: .* is no(t| longer) ready"):
        backend.promote("demo", "2", holder=ME)
    assert backend.cluster.objects[ISVC]["spec"] == before
    backend.cluster.broken.clear()
    assert shape(backend.set_traffic("demo", "2", 50, holder=ME)) == ("1", "2", 50)


@in_both_modes
@pytest.mark.parametrize("percent", [20, 100])
@pytest.mark.parametrize("end", ["roll_back", "stop"])
def test_canary_whose_pods_crash_is_taken_out(serve, mode, percent, end, tmp_path):
    backend = serve(mode)
    backend.set_traffic("demo", "2", percent, holder=ME)
    crash(backend)
    before = sum(pauses(backend))
    if end == "roll_back":
        backend.set_traffic("demo", "2", 0, holder=ME)
        backend.roll_back("demo", "2", holder=ME)
    else:
        backend.stop("demo", None, now=0.0)
    assert sum(pauses(backend)) - before < 10
    assert shape(backend.traffic("demo")) == ("1", None, 0)
    assert "2" not in {name for name, share in shares(backend).items() if share}
    backend.claim("demo", ME)
    assert shape(backend.deploy("demo", "3", tmp_path, holder=ME)) == ("1", "3", 0)
    assert shape(backend.set_traffic("demo", "3", 10, holder=ME)) == ("1", "3", 10)
