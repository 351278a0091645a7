from __future__ import annotations

import random
from dataclasses import replace

import pytest
import sqlalchemy as sa

from airflow_mlops.backends.metrics.inference_table import InferenceTable, InferenceTableMetrics
from airflow_mlops.backends.metrics.protocol import Arms
from airflow_mlops.core.errors import InvalidConfigError, ServiceUnavailableError
from airflow_mlops.core.rollout.counters import Reading, delta_since
from airflow_mlops.core.rollout.evidence.prediction import BinCounts

ARMS = Arms(canary="2", stable="1")
ALL = InferenceTable(
    table="answers",
    seconds="took",
    slow_seconds=0.25,
    prediction="score",
    edges=(0.3, 0.6),
    label="late",
    labelled_at="known_at",
)
SINCE = Reading(until=100.0)


@pytest.fixture
def engine(tmp_path):
    found = sa.create_engine(f"sqlite:///{tmp_path}/answers.db")
    with found.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TABLE answers (time REAL, version TEXT, status INT, took REAL, score REAL, "
                "late INT, known_at REAL)"
            )
        )
    yield found
    found.dispose()


def insert(engine, *rows):
    names = ("time", "version", "status", "took", "score", "late", "known_at")
    with engine.begin() as connection:
        for row in rows:
            values = dict(zip(names, (*row, *(None,) * (7 - len(row))), strict=True))
            connection.execute(
                sa.text("INSERT INTO answers VALUES (:time,:version,:status,:took,:score,:late,:known_at)"),
                values,
            )


def source(engine, columns=ALL, settle=0.0):
    return InferenceTableMetrics(engine, columns, settle_seconds=settle)


def counts(window):
    return window.canary_requests, window.canary_errors, window.stable_requests, window.stable_errors


def test_answers_of_the_window_are_counted_per_version(engine):
    insert(
        engine,
        (100.0, "2", 500, 9.0),  # belongs to the window before
        (101.0, "2", 200, 0.1, 0.2),
        (102.0, "2", 503, 0.3, None),
        (110.0, "1", 200, 0.2, 0.9),
        (103.0, "7", 500, 9.0),  # of another version
        (110.1, "1", 500, 9.0),  # belongs to the next window
    )
    reading = source(engine).read(ARMS, SINCE, now=110.0)
    assert counts(reading) == (2, 1, 1, 0)
    assert counts(reading.latency) == (2, 1, 1, 0)
    assert (reading.predictions.canary, reading.predictions.stable) == ((1, 0, 0, 0), (0, 0, 1, 0))
    assert reading.until == 110.0


def test_windows_that_follow_each_other_count_each_answer_once(engine):
    insert(engine, *((100 + n / 4, "12"[n % 2], 200 + 300 * (n % 5 == 0), 0.1, n / 100) for n in range(100)))
    whole = source(engine).read(ARMS, SINCE, now=125.0)
    last = SINCE
    for now in (101.0, 107.5, 107.6, 125.0):
        last = source(engine).read(ARMS, last, now=now)
    assert last == whole
    assert sum(counts(whole)[::2]) == 99


def test_labels_count_when_they_come_however_old_the_answer_is(engine):
    insert(
        engine,
        (5.0, "2", 200, 0.1, 0.8, 0, 105.0),
        (6.0, "2", 200, 0.1, 0.2, 0, 105.0),
        (7.0, "1", 200, 0.1, 0.9, 1, 106.0),
        (8.0, "1", 200, 0.1, 0.9, 0, 99.0),
        (9.0, "1", 503, 0.1, None, 0, 107.0),  # never answered
    )
    reading = source(engine).read(ARMS, SINCE, now=110.0)
    assert counts(reading.quality) == (2, 1, 1, 0)
    assert counts(reading) == (0, 0, 0, 0)


def test_newest_rows_are_left_until_they_are_settled(engine):
    insert(engine, (101.0, "2", 200), (108.0, "2", 200))
    reading = source(engine, settle=5.0).read(ARMS, SINCE, now=110.0)
    assert (reading.canary_requests, reading.until) == (1, 105.0)
    assert source(engine, settle=5.0).read(ARMS, reading, now=110.0) == reading


def test_rows_that_come_late_count_when_they_are_seen(engine):
    insert(engine, (101.0, "2", 200), (102.0, "1", 200))
    first = source(engine, settle=5.0).read(ARMS, SINCE, now=110.0)
    insert(
        engine, (99.0, "2", 504), (102.0, "2", 504), (103.0, "2", 504), (106.0, "2", 200), (107.0, "1", 200)
    )
    second = source(engine, settle=5.0).read(ARMS, first, now=115.0)
    assert (counts(first), counts(second)) == ((1, 0, 1, 0), (4, 2, 2, 0))
    assert Reading.from_json(second.to_json()) == second
    again = source(engine, settle=5.0).read(ARMS, second, now=116.0)
    assert counts(again) == counts(second)


def test_rows_count_once_however_late_each_of_them_comes(engine):
    rng = random.Random(12)  # noqa: S311 - delays
    rows = sorted((at + rng.choice((0.1, 12.0, 25.0)), at) for at in (100.5 + n / 2 for n in range(200)))
    last, now = SINCE, 100.0
    while now < 260:
        now += rng.choice((1.0, 5.0, 9.0))
        insert(engine, *((at, "12"[int(at) % 2], 200) for come, at in rows if come <= now))
        rows = [each for each in rows if each[0] > now]
        last = InferenceTableMetrics(engine, ALL, settle_seconds=5.0, late_seconds=30.0).read(
            ARMS, last, now=now
        )
    assert sum(counts(last)[::2]) == 200


def test_row_that_is_later_than_that_is_never_counted(engine):
    late = {"settle_seconds": 5.0, "late_seconds": 10.0}
    first = InferenceTableMetrics(engine, ALL, **late).read(ARMS, SINCE, now=130.0)
    insert(engine, (114.0, "2", 504), (116.0, "2", 504))
    assert counts(InferenceTableMetrics(engine, ALL, **late).read(ARMS, first, now=131.0)) == (1, 1, 0, 0)


def test_status_that_comes_after_its_row_is_corrected(engine):
    insert(engine, (101.0, "2", None), (102.0, "1", 200))
    first = source(engine).read(ARMS, SINCE, now=110.0)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE answers SET status = 200 WHERE time = 101"))
    insert(engine, (111.0, "2", 500), (112.0, "2", 500))
    assert (counts(first), counts(source(engine).read(ARMS, first, now=115.0))) == (
        (1, 1, 1, 0),
        (3, 2, 1, 0),
    )


def test_first_reading_says_from_when_to_count(engine):
    assert source(engine).read(ARMS, Reading(), now=110.0) == Reading(until=110.0)


def test_only_what_the_table_holds_is_watched(engine):
    insert(engine, (101.0, "2", 200))
    plain = InferenceTable(table="answers")
    reading = source(engine, plain).read(Arms(canary="2"), SINCE, now=110.0)
    assert counts(reading) == (1, 0, 0, 0)
    assert (reading.latency, reading.quality, reading.predictions) == (None, None, None)


@pytest.mark.parametrize("status", [None, 0, 14, 500, 599])
def test_request_without_an_answer_is_an_error(engine, status):
    insert(engine, (101.0, "2", status), (102.0, "2", 200), (103.0, "1", 200))
    reading = source(engine).read(ARMS, SINCE, now=110.0)
    assert counts(reading) == (2, 1, 1, 0)
    assert counts(reading.client_errors) == (2, 0, 1, 0)


@pytest.mark.parametrize("status", [400, 422, 499])
def test_refusals_are_client_errors_and_no_answers(engine, status):
    insert(engine, *((101.0 + n, "2", status) for n in range(5)), (103.0, "1", 200))
    reading = source(engine).read(ARMS, SINCE, now=110.0)
    assert counts(reading) == (5, 0, 1, 0)
    assert counts(reading.client_errors) == (5, 5, 1, 0)
    _, delta = delta_since(SINCE, reading, ())
    assert counts(delta.answered) == (0, 0, 1, 0)


def test_answer_that_holds_no_number_is_wrong_and_in_a_bin_of_its_own(engine):
    insert(
        engine,
        (101.0, "2", 200, 0.1, None, 1, 105.0),
        (102.0, "2", 200, 0.1, 0.9, 1, 105.0),
        (103.0, "1", 422, 0.1, None, 1, 105.0),  # refused, which is no wrong answer
        (104.0, "1", None, 0.1, None, 1, 105.0),
        (105.0, "1", 200, 0.1, 0.4, 0, 105.0),
    )
    reading = source(engine).read(ARMS, SINCE, now=110.0)
    assert counts(reading.quality) == (2, 1, 1, 0)
    assert (reading.predictions.canary, reading.predictions.stable) == ((0, 0, 1, 1), (0, 1, 0, 0))


def test_rollout_of_an_older_release_goes_on_with_its_bins(engine):
    insert(engine, (101.0, "2", 200, 0.1, None), (102.0, "2", 200, 0.1, 0.9))
    older = replace(SINCE, predictions=BinCounts(canary=(4, 0, 1), stable=(0, 0, 0)))
    assert source(engine).read(ARMS, older, now=110.0).predictions.canary == (4, 0, 2)


def test_grpc_codes_are_refused_before_any_traffic(engine):
    insert(engine, (101.0, "2", 14), (102.0, "1", 0))
    with pytest.raises(InvalidConfigError) as refused:
        source(engine).check(now=110.0)
    assert str(refused.value) == (
        "inference table answers: status is at most 14, allowed: HTTP status, 100 to 599; a view can "
        "translate gRPC codes"
    )
    insert(engine, (103.0, "1", 200))
    source(engine).check(now=110.0)


def test_server_whose_clock_is_behind_answers_nothing_rather_than_something_twice(engine):
    insert(engine, (99.0, "2", 500), (101.0, "1", 200))  # came after the window that 99 belongs to
    first = source(engine).read(ARMS, SINCE, now=110.0)
    insert(engine, (111.0, "2", 500))  # ahead: read once its time has come
    assert counts(first) == (0, 0, 1, 0)
    second = source(engine).read(ARMS, first, now=110.5)
    assert counts(second) == counts(first)
    assert counts(source(engine).read(ARMS, second, now=112.0)) == (1, 1, 1, 0)


@pytest.mark.parametrize(
    ("columns", "measured"),
    [
        (InferenceTable(table="answers"), {"errors", "client_errors"}),
        (
            InferenceTable(table="answers", seconds="took", slow_seconds=1.0),
            {"errors", "client_errors", "latency"},
        ),
        (ALL, {"errors", "client_errors", "latency", "predictions", "quality"}),
    ],
)
def test_table_says_what_it_measures_and_that_it_is_there(engine, columns, measured):
    assert source(engine, columns).measures == measured
    source(engine, columns).check(now=110.0)
    with pytest.raises(InvalidConfigError, match="inference table nowhere: no such table"):
        source(engine, replace(columns, table="nowhere")).check(now=110.0)


@pytest.mark.parametrize("wrong", [{"table": "nowhere"}, {"status": "code"}])
def test_table_or_column_that_does_not_exist_is_named(engine, wrong):
    with pytest.raises(InvalidConfigError, match=r"inference table .*: no such"):
        source(engine, replace(ALL, **wrong)).read(ARMS, SINCE, now=110.0)


def test_database_that_cannot_be_opened_is_unavailable(tmp_path):
    engine = sa.create_engine(f"sqlite:///{tmp_path}/no/such/folder.db")
    with pytest.raises(ServiceUnavailableError, match="unable to open"):
        source(engine).read(ARMS, SINCE, now=110.0)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"slow_seconds": None}, "seconds and slow_seconds"),
        ({"labelled_at": None}, "label and labelled_at"),
        ({"edges": (), "label": None, "labelled_at": None}, "prediction with edges or label"),
        ({"edges": (0.6, 0.3)}, "strictly rising"),
    ],
)
def test_half_a_measure_is_refused_by_name(wrong, named):
    with pytest.raises(InvalidConfigError, match=named):
        replace(ALL, **wrong)
