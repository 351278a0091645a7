from __future__ import annotations

import json

import httpx
import pytest

from airflow_mlops.backends.serving.readiness.load_test import LoadTest, timing
from airflow_mlops.backends.serving.readiness.probe import send_probes
from airflow_mlops.backends.serving.readiness.probe_requests import Inputs, probe_requests, response_problem
from airflow_mlops.backends.serving.readiness.requirements import differences
from airflow_mlops.core.release.readiness import LoadPolicy, ProbeKind

INPUTS = Inputs({"x": "double", "small": "float", "n": "long", "plan": "string"}, [[1.5, 2.0, 3, "a"]], True)


def sent(kind):
    return {r.subject: json.loads(r.body) for r in probe_requests(INPUTS, 1e30) if r.kind is kind}


def test_each_column_gets_its_edges_and_the_others_keep_the_example():
    extremes = sent(ProbeKind.EXTREMES)
    assert extremes["1e+30 in x"]["dataframe_split"]["data"] == [[1e30, 2.0, 3, "a"]]
    assert extremes["-9.0072e+15 in n"]["dataframe_split"]["data"] == [[1.5, 2.0, -(2**53), "a"]]
    assert extremes["empty text in plan"]["dataframe_split"]["data"] == [[1.5, 2.0, 3, ""]]
    nulls = sent(ProbeKind.NULLS)
    assert nulls["null in n"]["dataframe_split"]["data"] == [[1.5, 2.0, None, "a"]]
    assert len(nulls) == 5
    assert list(sent(ProbeKind.UNSEEN)) == ["unseen category in plan"]


def test_extreme_fits_the_type_of_the_column():
    subjects = [r.subject for r in probe_requests(INPUTS, 1e300)]
    assert {"1e+300 in x", "3.4e+38 in small"} <= set(subjects)


@pytest.mark.parametrize(
    ("text", "rows", "problem"),
    [
        ('{"predictions": [0.5, 1]}', 2, ""),
        ('{"predictions": [[0.5, 0.5]]}', 1, ""),
        ('{"predictions": ["late"]}', 1, ""),
        ('{"predictions": [{"p": 0.5}]}', 1, ""),
        ('{"predictions": [0.5]}', 2, "1 predictions for 2 rows"),
        ('{"predictions": [null]}', 1, "1 predictions are null, NaN or infinite"),
        ('{"predictions": [[NaN, 0.5], [0.1, Infinity]]}', 2, "2 predictions are null, NaN or infinite"),
        ('{"predictions": 0.5}', 1, "float predictions for 1 rows"),
        ("[1]", 1, "no predictions in the body"),
        ("<html>", 1, "no predictions in the body"),
    ],
)
def test_body_of_a_200_is_checked(text, rows, problem):
    assert response_problem(text, rows) == problem


def unmet(folder, text, **installed):
    (folder / "requirements.txt").write_text(text)
    return differences(folder, found=installed.get, python="3.11.4")


def test_requirements_that_the_serving_environment_does_not_meet_are_named(tmp_path):
    text = (
        "mlflow==3.17.0\nnumpy>=2 # why\n-r other.txt\n# note\nscipy==1.0\nodd ?? 1\nw; python_version<'3'\n"
    )
    (tmp_path / "python_env.yaml").write_text("python: 3.12.1\n")
    count, found = unmet(tmp_path, text, mlflow="3.17.0", numpy="1.26")
    assert count == 5
    assert [(d.package, d.recorded, d.found) for d in found] == [
        ("numpy", ">=2", "1.26"),
        ("scipy", "==1.0", None),
        ("odd ?? 1", "not a valid requirement", None),
        ("python", "3.12.1", "3.11.4"),
    ]


def test_python_of_another_patch_is_the_same(tmp_path):
    (tmp_path / "python_env.yaml").write_text("python: 3.11.1\n")
    assert unmet(tmp_path, "") == (0, ())


def test_model_without_requirements_is_told_apart_from_one_that_needs_none(tmp_path):
    assert differences(tmp_path) == (None, ())


def asked(handle, is_alive=lambda: True):
    with httpx.Client(base_url="http://model", transport=httpx.MockTransport(handle)) as client:
        return send_probes(client, probe_requests(INPUTS, 1e30), is_alive)


def test_server_that_hangs_is_not_asked_for_ever():
    def hang(request):
        raise httpx.ReadTimeout("too long")

    answers, unusable = asked(hang)
    assert [answer.status for answer in answers] == [None] * 3
    assert answers[0].problem == "ReadTimeout: too long"
    assert unusable == "3 requests in a row got no answer, the last: body without rows"


def test_server_that_misses_now_and_then_is_asked_to_the_end():
    numbers = iter(range(1000))

    def miss(request):
        if next(numbers) % 2:
            raise httpx.ReadTimeout("too long")
        return httpx.Response(200, json={"predictions": [0.5]})

    answers, unusable = asked(miss)
    assert (len(answers), unusable) == (len(list(probe_requests(INPUTS, 1e30))), "")
    assert answers[2].problem == "1 predictions for 0 rows"


class Clock:
    """Time that passes only in sleep and with each request."""

    def __init__(self):
        self.now, self.naps = 0.0, []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.naps.append(seconds)
        self.now += seconds


def load_test(clock, answer):
    def handle(request):
        clock.now += 0.01
        return answer()

    client = httpx.Client(base_url="http://model", transport=httpx.MockTransport(handle))
    return LoadTest(client, b"{}", clock=clock, sleep=clock.sleep)


def test_latencies_of_requests_one_by_one_are_those_of_the_server():
    seen = load_test(Clock(), lambda: httpx.Response(200)).one_by_one(50)
    assert (seen.requests, seen.failed) == (50, 0)
    assert (seen.p50_ms, seen.p99_ms, seen.per_second) == pytest.approx((10, 10, 100))


def test_requests_that_fail_are_counted_and_have_no_latency():
    answers = iter([*[httpx.Response(200)] * 5, httpx.Response(500), *[httpx.Response(200)] * 20])
    seen = load_test(Clock(), lambda: next(answers)).one_by_one(10)
    assert (seen.requests, seen.failed) == (10, 1)
    assert timing([None], 1.0).p99_ms is None


def test_measurement_ends_when_the_server_is_slow():
    clock = Clock()

    def crawl():
        clock.now += 30
        return httpx.Response(200)

    assert load_test(clock, crawl).one_by_one(500).requests == 2


def test_load_is_sent_when_due():
    clock = Clock()
    seen = load_test(clock, lambda: httpx.Response(200)).load(LoadPolicy(per_second=10, seconds=2))
    assert seen.requests == 20
    assert seen.per_second == pytest.approx(10)
    assert 1.7 < sum(clock.naps) <= 2


def test_p99_is_that_of_the_slowest_in_a_hundred():
    seen = timing([0.001 * (n + 1) for n in range(100)], 1.0)
    assert (seen.p50_ms, seen.p99_ms) == pytest.approx((50, 99))
