from __future__ import annotations

import pytest

from airflow_mlops.backends.metrics.haproxy import TimedAnswer, parse_answers, parse_stats
from airflow_mlops.core.errors import ServiceUnavailableError

STATS = (
    """\
# pxname,svname,sid,scur,status,weight,econ,eresp,srv_abrt,wredis,"""
    + """\
hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other
clients,FRONTEND,0,1,OPEN,,,,6,,0,9,0,0,0,0
models,slot1,1,2,no check,75,1,40,6,3,90,90,0,4,5,0
models,slot2,2,0,DRAIN,25,0,0,0,0,0,7,0,0,0,0
models,slot3,3,0,MAINT,0,0,0,0,0,0,0,0,0,0,0
models,BACKEND,0,2,UP,100,,,6,,0,97,0,4,5,0
others,slot1,1,0,no check,75,0,0,6,0,0,1,0,0,0,0

"""
)
TABLE = """\
# table: models, type: integer, size:1, used:1
0x59d7750: key=1 use=0 exp=0 shard=0 gpc0=8 gpc1=0 gpc2=0

"""
WHOLE = STATS + TABLE


def test_gateway_statistics_count_every_way_to_fail_once():
    stats = parse_stats(WHOLE, "models")
    assert set(stats) == {"slot1", "slot2", "slot3"}
    first = stats["slot1"]
    assert (first.errors, first.requests, first.current) == (8 + 3 + 6, 90 + 4 + 8 + 3, 2)
    assert [stats[slot].client_errors for slot in sorted(stats)] == [4, 0, 0]
    assert (stats["slot1"].weight, stats["slot2"].weight, stats["slot3"].weight) == (75, 0, 0)


def test_gateway_that_has_answered_nothing_yet_has_counted_nothing():
    fresh = parse_stats(STATS + TABLE.splitlines()[0] + "\n\n", "models")
    assert (fresh["slot1"].errors, fresh["slot2"].requests) == (3 + 6, 7)


def test_gateway_of_an_older_release_counts_as_it_did():
    older = parse_stats(f"{STATS}Unknown table\n\n", "models")["slot1"]
    assert (older.errors, older.requests) == (5 + 1 + 40 + 3, 90 + 4 + 49)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (WHOLE[: WHOLE.index("90,0,4")], "its end is cut off"),
        (STATS, "its end is cut off"),
        (WHOLE.replace(",40,6,3,90,90,0,4,5,0", ""), "line of 'slot1' is cut off"),
        (WHOLE.replace("srv_abrt", "hrsp_5xx"), "KeyError: 'srv_abrt'"),
        (WHOLE.replace("90", "NaN"), "invalid literal for int"),
        ("<html>\n<body>\n", "KeyError: 'pxname'"),
    ],
    ids=["cut off", "table missing", "line cut off", "column missing", "not a number", "no CSV"],
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
<6>1970-01-01T00:00:17.000000+00:00 slot1 8001 200 3 0 SD
<6>1970-01-01T00:00:18.000000+00:00 slot1 8001 200 9000 0 sD
<6>1970-01-01T00:00:19.000000+00:00 slot1 8001 200 7 0 --
<6>1970-01-01T00:00:20.000000+00:00 slot1 80
"""
    assert parse_answers(log) == [
        TimedAnswer(10.5, ("slot1", 8001), 14),
        TimedAnswer(11.0, ("slot2", 8002), 35),
        TimedAnswer(14.0, ("slot2", 8002), 60001),
        TimedAnswer(18.0, ("slot1", 8001), 9000),
        TimedAnswer(19.0, ("slot1", 8001), 7),
    ]
    assert parse_answers("no such ring\n") == []
