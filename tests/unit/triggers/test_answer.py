from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from airflow.sdk.api.datamodels._generated import HITLDetailResponse
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from airflow_mlops.triggers import answer
from airflow_mlops.triggers.answer import AnswerTrigger

ANN = {"id": "7", "name": "ann"}
AT = datetime(2026, 1, 2, tzinfo=UTC)


def response(**more):
    given = {"response_received": True, "responded_by_user": ANN, "responded_at": AT}
    said = {"chosen_options": ["Approve"], "params_input": {"comment": "fine"}}
    return HITLDetailResponse(**given | said | more)


@pytest.fixture
def fired(monkeypatch):
    """What the trigger fires, with the supervisor's answer in place of Airflow's."""

    def fire(found):
        def held(ti_id):
            assert ti_id == "ti-1"
            if isinstance(found, Exception):
                raise found
            return found

        async def once():
            return [event.payload async for event in AnswerTrigger(ti_id="ti-1").run()]

        monkeypatch.setattr(answer, "PAUSE_SECONDS", 0)
        monkeypatch.setattr(answer, "get_hitl_detail_content_detail", held)
        return asyncio.run(once())

    return fire


def test_answer_of_a_person_is_told_as_plain_values(fired):
    assert fired(response()) == [
        {
            "chosen_options": ["Approve"],
            "params_input": {"comment": "fine"},
            "responded_at": "2026-01-02T00:00:00+00:00",
            "responded_by_user": ANN,
        }
    ]


@pytest.mark.parametrize(
    "found",
    [
        response(responded_by_user=None),
        response(response_received=False, responded_by_user=None, responded_at=None, chosen_options=None),
        AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 404})),
    ],
    ids=["the default", "no answer yet", "never asked"],
)
def test_nothing_is_told_unless_a_person_answered(fired, found):
    assert fired(found) == [{}]


def test_trigger_is_rebuilt_from_what_it_serialises():
    path, kwargs = AnswerTrigger(ti_id="ti-1").serialize()
    assert path == f"{AnswerTrigger.__module__}.AnswerTrigger"
    assert AnswerTrigger(**kwargs).ti_id == "ti-1"
