from __future__ import annotations

import pytest

from airflow_mlops.backends.metrics.haproxy import TimedAnswer, parse_answers, parse_stats
from airflow_mlops.core.errors import ServiceUnavailableError

STATS = """\
# pxname,svname,scur,status,weight,econ,eresp,wredis,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other
clients,FRONTEND,1,OPEN,,,,,0,9,0,0,0,0
models,slot1,2,no check,75,1,2,3,0,90,0,4,5,0
models,slot2,0,DRAIN,25,0,0,0,0,7,0,0,0,0
models,slot3,0,MAINT,0,0,0,0,0,0,0,0,0,0
models,BACKEND,2,UP,100,,,,0,97,0,4,5,0
"""


def test_gateway_statistics_count_every_way_to_fail():
    stats = parse_stats(STATS, "models")
    assert set(stats) == {"slot1", "slot2", "slot3"}
    assert (stats["slot1"].errors, stats["slot1"].requests, stats["slot1"].current) == (11, 105, 2)
    assert [stats[slot].client_errors for slot in sorted(stats)] == [4, 0, 0]
    assert (stats["slot1"].weight, stats["slot2"].weight, stats["slot3"].weight) == (75, 0, 0)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (STATS[: STATS.index("90,0,4")], "line of 'slot1' is cut off"),
        (STATS.replace("hrsp_5xx", "hrsp_4xx"), "KeyError: 'hrsp_5xx'"),
        (STATS.replace("90", "NaN"), "invalid literal for int"),
        ("<html>\n<body>\n", "KeyError: 'pxname'"),
    ],
    ids=["cut off", "column missing", "not a number", "no CSV"],
)
def test_statistics_that_cannot_be_read_are_no_counts(text, named):
    with pytest.raises(ServiceUnavailableError, match=f"gateway: its statistics cannot be read: .*{named}"):
        parse_stats(text, "models")


def test_answers_are_timed_unless_two_servers_or_an_error_made_the_time():
    log = """\
<6>1970-01-01T00:00:10.500000+00:00 slot1 8001 200 14 0
<6>1970-01-01T00:00:11.000000+00:00 slot2 8002 400 35 0
<6>1970-01-01T00:00:12.000000+00:00 slot2 8002 500 1 0
<6>1970-01-01T00:00:13.000000+00:00 slot1 8001 200 2011 +1
<6>1970-01-01T00:00:14.000000+00:00 slot2 8002 504 60001 0
<6>1970-01-01T00:00:15.000000+00:00 <NOSRV> - 503 0 0
<6>1970-01-01T00:00:16.000000+00:00 slot1 8001 -1 7 0
<6>1970-01-01T00:00:17.000000+00:00 slot1 80
"""
    assert parse_answers(log) == [
        TimedAnswer(10.5, ("slot1", 8001), 14),
        TimedAnswer(11.0, ("slot2", 8002), 35),
        TimedAnswer(14.0, ("slot2", 8002), 60001),
    ]
    assert parse_answers("no such ring\n") == []
