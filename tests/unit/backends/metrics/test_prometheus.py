from __future__ import annotations

import json
import re
import threading
from contextlib import nullcontext
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_mlops.backends.metrics.prometheus import PrometheusMetrics, PrometheusSelectors
from airflow_mlops.backends.metrics.protocol import Arms
from airflow_mlops.backends.metrics.series import Series, total
from airflow_mlops.core.errors import InvalidConfigError, ServiceUnavailableError
from airflow_mlops.core.rollout.counters import Reading

ARMS = Arms(canary="2", stable="1")
SELECTORS = PrometheusSelectors(
    requests='asked{version="$version"}', errors='asked{version="$version",code=~"5.."}'
)


def series(*samples, **labels):
    return Series(labels=labels, samples=samples)


@pytest.mark.parametrize(
    ("samples", "grown"),
    [
        (((5, 100), (15, 130)), 30),
        (((5, 100), (15, 130), (25, 900)), 30),
        (((8, 100), (10, 110), (15, 130), (20, 131)), 21),
        (((5, 100), (12, 4), (18, 9)), 9),
        (((15, 3), (18, 5)), 2),
        (((5, 100),), 0),
        (((5, 100), (12, 4), (14, 9), (18, 2)), 11),
    ],
    ids=["grown", "later sample", "borders", "restarted", "old counter", "no new sample", "restarted twice"],
)
def test_growth_counts_what_came_in_the_window(samples, grown):
    assert series(*samples).growth(10, 20) == grown


def test_counter_that_a_known_target_shows_for_the_first_time_counts_from_zero():
    assert series((15, 3), (18, 5)).growth(10, 20, is_new=True) == 5
    known, other = series((5, 1), (15, 2), instance="a"), series((15, 3), instance="a", code="500")
    stranger = series((15, 900), (18, 903), instance="b")
    assert total([known, other, stranger], 10, 20, frozenset({known.target})) == 1 + 3 + 3


def test_windows_that_follow_each_other_add_up():
    seen = series((1, 10), (4, 14), (7, 2), (9, 8), (13, 20))
    assert sum(seen.growth(at, at + 2) for at in range(1, 13, 2)) == seen.growth(1, 13)


class Answering(BaseHTTPRequestHandler):
    """Answers a query from ``server.answers``, keyed by the query without its range."""

    def do_GET(self):
        url = urlsplit(self.path)
        asked = parse_qs(url.query)["query"][0].rsplit("[", 1)[0] if url.query else url.path
        status, result = self.server.answers.get(asked, (200, []))
        self.send_response(status)
        self.end_headers()
        whole = {"data": {"result": result}} if isinstance(result, list) else result
        self.wfile.write(json.dumps(whole).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def prometheus():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.answers = {}
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def source(server, selectors=SELECTORS, **more):
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    return PrometheusMetrics(url, selectors, settle_seconds=0.0, **more)


def matrix(*values, at=(90, 105), **labels):
    metric = {"__name__": "asked", "version": "x", "code": "200", "instance": "a"} | labels
    return 200, [{"metric": metric, "values": [[t, str(v)] for t, v in zip(at, values, strict=True)]}]


def healthy(server):
    server.answers |= {'asked{version="2"}': matrix(100, 110), 'asked{version="1"}': matrix(900, 990)}


BEFORE = Reading(until=100.0, canary_requests=7, stable_requests=70)


def test_first_reading_says_from_when_to_count(prometheus):
    assert source(prometheus).read(ARMS, Reading(), now=100.0) == Reading(until=100.0)


def test_counts_are_added_to_what_was_read_before(prometheus):
    healthy(prometheus)
    prometheus.answers['asked{version="2",code=~"5.."}'] = matrix(1, 4, code="500")
    after = source(prometheus).read(ARMS, BEFORE, now=110.0)
    assert after == replace(
        BEFORE, until=110.0, canary_requests=17, canary_errors=3, stable_requests=160, stable_errors=0
    )


def test_cold_start_reads_one_arm(prometheus):
    prometheus.answers['asked{version="2"}'] = matrix(100, 110)
    after = source(prometheus).read(Arms(canary="2"), BEFORE, now=110.0)
    assert (after.canary_requests, after.stable_requests) == (17, 70)


@pytest.mark.parametrize("gone", ['asked{version="2"}', 'asked{version="1"}'])
def test_arm_without_data_is_missing_data(prometheus, gone):
    healthy(prometheus)
    del prometheus.answers[gone]
    assert source(prometheus).read(ARMS, BEFORE, now=110.0) is None


def test_arm_that_is_no_longer_scraped_is_missing_data(prometheus):
    healthy(prometheus)
    assert source(prometheus, max_age_seconds=30).read(ARMS, BEFORE, now=130.0) is not None
    assert source(prometheus, max_age_seconds=30).read(ARMS, BEFORE, now=136.0) is None


def test_errors_of_a_metric_that_nobody_exports_are_missing_data(prometheus):
    healthy(prometheus)
    selectors = replace(SELECTORS, errors='faild{version="$version"}')
    assert source(prometheus, selectors).read(ARMS, BEFORE, now=110.0) is None
    prometheus.answers["faild"] = matrix(1, 1)
    assert source(prometheus, selectors).read(ARMS, BEFORE, now=110.0).canary_errors == 0


OWN = replace(SELECTORS, errors='faild{version="$version"}')


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-3"])
@pytest.mark.parametrize("asked", ['asked{version="2"}', 'asked{version="1",code=~"5.."}'])
def test_counter_whose_newest_sample_is_no_count_is_missing_data(prometheus, asked, value):
    healthy(prometheus)
    prometheus.answers[asked] = matrix(100, value)
    with pytest.raises(ServiceUnavailableError, match=rf"no count: {re.escape(value)} of .*'version': 'x'"):
        source(prometheus).read(ARMS, BEFORE, now=110.0)


def test_errors_in_a_metric_of_their_own_by_a_label_that_does_not_exist_are_refused_by_name(prometheus):
    healthy(prometheus)
    metric = {"__name__": "faild", "model_version": "2"}
    prometheus.answers["faild"] = 200, [{"metric": metric, "values": [[105, "3"]]}]
    with pytest.raises(InvalidConfigError, match="no label 'version' on faild; it has: model_version"):
        source(prometheus, OWN).read(ARMS, BEFORE, now=110.0)


def test_errors_that_others_export_from_zero_are_missing_data_where_they_are_not(prometheus):
    healthy(prometheus)
    champion = matrix(0, 0, version="1")
    prometheus.answers |= {"faild": champion, 'faild{version="1"}': champion}
    assert source(prometheus, OWN).read(ARMS, BEFORE, now=110.0) is None
    prometheus.answers['faild{version="2"}'] = matrix(0, 2, version="2")
    assert source(prometheus, OWN).read(ARMS, BEFORE, now=110.0).canary_errors == 2


@pytest.mark.parametrize(
    ("values", "target", "known"),
    [((0, 0), "a", False), ((3, 4), "exporter", False), ((3, 4), "a", True)],
    ids=["from zero", "another target", "a replica that ended"],
)
def test_errors_that_are_no_longer_scraped_are_missing_data(prometheus, values, target, known):
    prometheus.answers |= {f'asked{{version="{v}"}}': matrix(9, 19, at=(90, 305)) for v in "12"}
    fine, old = matrix(3, 3, at=(90, 305), version="1"), matrix(*values, version="2", instance=target)
    prometheus.answers |= {"faild": (200, fine[1] + old[1]), 'faild{version="1"}': fine}
    prometheus.answers['faild{version="2"}'] = old
    assert (source(prometheus, OWN).read(ARMS, BEFORE, now=310.0) is not None) is known


@pytest.mark.parametrize(
    ("errors", "codes", "refused"),
    [
        ('code=~"5.."', ("200", "404"), False),
        ('code=~"5.."', ("2xx", "5xx"), False),
        ('code=~"5.."', ("OK", "Unavailable"), True),
        ('code="500"', ("OK", "Unavailable"), True),
        ('code="5xx"', ("200", "500"), True),
        ('code="5xx"', ("2xx", "5xx"), False),
        ('code!~"OK"', ("Unavailable",), False),
        ('outcome="failed"', (), False),
        ('code=~"(?i:x"', ("OK",), False),
    ],
)
def test_codes_that_never_match_are_refused_before_traffic_moves(prometheus, errors, codes, refused):
    label = errors.partition("=")[0].rstrip("!")
    prometheus.answers["count by (le) (asked)"] = (200, [{"metric": {}, "value": [1, "3"]}])
    found = [{"metric": {label: code}, "value": [1, "3"]} for code in codes]
    prometheus.answers[f"count by ({label}) (asked)"] = (200, found)
    checked = source(prometheus, replace(SELECTORS, errors=f'asked{{version="$version",{errors}}}'))
    said = f"code .* matches no code of asked.*: {', '.join(codes)}"
    with pytest.raises(InvalidConfigError, match=said) if refused else nullcontext():
        checked.check(now=110.0)


def test_errors_by_a_label_that_does_not_exist_are_refused_by_name(prometheus):
    healthy(prometheus)
    selectors = replace(SELECTORS, errors='asked{version="$version",status="x=5"}')
    with pytest.raises(
        InvalidConfigError, match="no label 'status' on asked; it has: code, instance, version"
    ):
        source(prometheus, selectors).read(ARMS, BEFORE, now=110.0)


def test_answers_outside_the_fast_bucket_are_slow(prometheus):
    healthy(prometheus)
    fast = 'took_bucket{version="$version",le="0.25"}'
    prometheus.answers |= {
        'took_bucket{version="2",le="0.25"}': matrix(90, 96),
        'took_bucket{version="1",le="0.25"}': matrix(800, 889),
        'took_bucket{version="2",le="+Inf"}': matrix(90, 100),
        'took_bucket{version="1",le="+Inf"}': matrix(800, 890),
    }
    after = source(prometheus, replace(SELECTORS, fast=fast)).read(ARMS, BEFORE, now=110.0)
    assert (after.latency.canary_requests, after.latency.canary_errors) == (10, 4)
    assert (after.latency.stable_requests, after.latency.stable_errors) == (90, 1)
    del prometheus.answers['took_bucket{version="1",le="0.25"}']  # no such bucket: not everything is slow
    assert source(prometheus, replace(SELECTORS, fast=fast)).read(ARMS, BEFORE, now=110.0) is None


@pytest.mark.parametrize("status", [429, 500, 503])
def test_server_in_trouble_is_unavailable(prometheus, status):
    healthy(prometheus)
    prometheus.answers['asked{version="2"}'] = (status, [])
    with pytest.raises(ServiceUnavailableError, match=f"prometheus at http.*{status}"):
        source(prometheus).read(ARMS, BEFORE, now=110.0)


def test_query_that_is_not_understood_is_a_configuration_error(prometheus):
    prometheus.answers['asked{version="2"}'] = (400, [])
    with pytest.raises(InvalidConfigError, match="does not understand 'asked"):
        source(prometheus).read(ARMS, BEFORE, now=110.0)


def test_server_that_is_gone_is_unavailable(prometheus):
    gone = source(prometheus)
    prometheus.shutdown()
    prometheus.server_close()
    with pytest.raises(ServiceUnavailableError, match="prometheus at"):
        gone.read(ARMS, BEFORE, now=110.0)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"requests": 'sum(asked{version="$version"})'}, "prometheus.requests.*a plain selector"),
        ({"errors": "asked{}[5m]"}, "prometheus.errors.*a plain selector"),
        ({"errors": 'asked{version="2"}'}, r"prometheus.errors.*\$version"),
        ({"fast": 'asked{version="$version",le="$limit"}'}, r"prometheus.fast.*nothing else"),
        ({"fast": 'quick{version="$version"}'}, r"prometheus.fast.*a bucket of a histogram"),
    ],
)
def test_selector_that_cannot_be_counted_is_refused_by_name(wrong, named):
    with pytest.raises(InvalidConfigError, match=named):
        replace(SELECTORS, **wrong)


OLD_AND_NEW = [
    {"metric": {"version": "2", "code": "200", "instance": "a"}, "values": [[90, "100"], [105, "110"]]},
    {"metric": {"version": "2", "code": "200", "instance": "b"}, "values": [[105, "70000"], [108, "70004"]]},
]


@pytest.mark.parametrize(
    ("answer", "counted"),
    [
        ((200, OLD_AND_NEW), 14),
        ((200, [{"metric": {}, "values": [[90, "100"], [100, "NaN"], [105, "110"]]}]), 10),
        ((200, [{"metric": {}, "values": []}]), None),
        ((200, [{"metric": {}, "values": [[90, "100"], [104, "103"], [105, "2"], [109, "9"]]}]), 3 + 2 + 7),
    ],
    ids=[
        "replica seen later",
        "NaN between",
        "empty series",
        "reset inside",
    ],
)
def test_what_is_no_count_is_not_counted(prometheus, answer, counted):
    healthy(prometheus)
    prometheus.answers['asked{version="2"}'] = answer
    after = source(prometheus).read(ARMS, BEFORE, now=110.0)
    assert (after and after.canary_requests - BEFORE.canary_requests) == counted


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "error", "error": "x"},
        {"data": {"result": [{"metric": {}, "values": [["a", "b"]]}]}},
        {"data": {"result": [{"metric": {}, "values": [[90, "1"]]}]}, "warnings": ["store s3 is down"]},
        {"data": None},
        "rubbish",
    ],
    ids=["error", "no numbers", "partial", "no data", "no answer"],
)
def test_answer_that_is_none_or_partial_is_unavailable(prometheus, answer):
    healthy(prometheus)
    prometheus.answers['asked{version="1"}'] = (200, answer)
    with pytest.raises(ServiceUnavailableError, match=r"prometheus at http.*(no answer|a part of the data)"):
        source(prometheus).read(ARMS, BEFORE, now=110.0)


FAST = replace(SELECTORS, fast='took_bucket{version="$version",le="0.25"}')


def test_metrics_that_are_there_pass_before_traffic_moves(prometheus):
    prometheus.answers["count by (le) (asked)"] = (200, [{"metric": {}, "value": [1, "3"]}])
    buckets = [{"metric": {"le": le}, "value": [1, "2"]} for le in ("+Inf", "0.5", "0.25")]
    prometheus.answers["count by (le) (took_bucket)"] = (200, buckets)
    source(prometheus, FAST).check(now=110.0)
    buckets.pop()
    with pytest.raises(
        InvalidConfigError, match=r"no bucket le='0\.25' on took_bucket, allowed: 0\.5, \+Inf"
    ):
        source(prometheus, FAST).check(now=110.0)


def test_metric_that_does_not_exist_is_named_before_traffic_moves(prometheus):
    prometheus.answers["/api/v1/label/__name__/values"] = (200, {"data": ["askd", "up"]})
    with pytest.raises(
        InvalidConfigError, match=r"prometheus.requests: http.* has no metric 'asked'.*'askd'\?"
    ):
        source(prometheus).check(now=110.0)
