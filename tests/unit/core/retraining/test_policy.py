from __future__ import annotations

from itertools import pairwise

import pytest
from builders import verdict
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.retraining.policy import RetrainPolicy, Situation, Trigger, decide_retraining
from airflow_mlops.core.verdict import Outcome

POLICY = RetrainPolicy(cooldown_seconds=100, min_new_rows=10, max_per_week=3)
DAY = 86400.0
OLDER = {"partition": "2026-01", "newest_trained": "2026-02", "newest_version": "4"}
BACKLOG = {"champion": None, "partition": "2026-02", "announced": "2026-03"}
REPEATED = {"champion": None, "partition": "2026-02", "newest_trained": "2026-02", "repeated_by": "4"}


def situation(**more):
    known = {"champion": "1", "trigger": Trigger.NEW_DATA, "new_rows": 50}
    return Situation(**known | more)


@pytest.mark.parametrize(
    ("more", "retrain", "trigger", "reason"),
    [
        ({}, False, Trigger.NEW_DATA, "no trigger for retraining"),
        ({"champion": None}, True, Trigger.COLD_START, "no champion yet"),
        ({"verdicts": (verdict(Outcome.FAIL),)}, True, Trigger.SKEW, "skew: skew fail"),
        ({"verdicts": (verdict(Outcome.FAIL, "drift"),)}, True, Trigger.DRIFT, "drift"),
        ({"verdicts": (verdict(Outcome.FAIL, "performance"),)}, True, Trigger.DEGRADATION, "performance"),
        ({"verdicts": (verdict(Outcome.INCONCLUSIVE),)}, False, Trigger.NEW_DATA, "skew inconclusive"),
        ({"trigger": Trigger.MANUAL, "reason": "audit"}, True, Trigger.MANUAL, "manual: audit"),
        (
            {"trigger": Trigger.DEGRADATION, "reason": "auc fell", "verdicts": (verdict(Outcome.FAIL),)},
            True,
            Trigger.DEGRADATION,
            "degradation: auc fell",
        ),
        (
            {"verdicts": (verdict(Outcome.FAIL, "drift"), verdict(Outcome.FAIL, "performance"))},
            True,
            Trigger.DEGRADATION,
            "performance: performance fail",
        ),
        (
            {"trigger": Trigger.SCHEDULE, "verdicts": (verdict(Outcome.FAIL),)},
            True,
            Trigger.SKEW,
            "skew: skew fail",
        ),
        ({"trigger": Trigger.SCHEDULE}, True, Trigger.SCHEDULE, "schedule"),
        (
            {"trigger": Trigger.MANUAL, "trained_at": (950.0,)},
            False,
            Trigger.MANUAL,
            "50 s ago, cool-down 100",
        ),
        ({"trigger": Trigger.MANUAL, "new_rows": 9}, False, Trigger.MANUAL, "9 new rows, needs 10"),
        ({"trigger": Trigger.MANUAL, "trained_at": (1.0, 2.0, 3.0)}, False, Trigger.MANUAL, "3 trainings"),
        ({"force": True, "trained_at": (999.0,), "new_rows": 0}, True, Trigger.MANUAL, "forced by hand"),
        (
            {"champion": None, "rollout": "version 1 by r"},
            False,
            Trigger.COLD_START,
            "under way: version 1 by r",
        ),
        (
            {**OLDER, "trigger": Trigger.DRIFT},
            False,
            Trigger.DRIFT,
            "version 4 was trained on the newer partition",
        ),
        (
            {**OLDER, "partition": "2026-02", "trigger": Trigger.DRIFT},
            True,
            Trigger.DRIFT,
            "drift: requested",
        ),
        ({**OLDER, "force": True}, True, Trigger.MANUAL, "forced by hand"),
        ({**BACKLOG}, False, Trigger.COLD_START, "2026-03 was announced, whose own run may train"),
        ({**BACKLOG, "partition": "2026-03"}, True, Trigger.COLD_START, "no champion yet"),
        (
            {**BACKLOG, "champion": "1", "trigger": Trigger.DEGRADATION},
            True,
            Trigger.DEGRADATION,
            "degradation",
        ),
        (
            {**REPEATED},
            False,
            Trigger.COLD_START,
            "version 4 was trained on partition 2026-02, unchanged since",
        ),
        ({**REPEATED, "champion": "4", "trigger": Trigger.DRIFT}, True, Trigger.DRIFT, "drift: requested"),
    ],
)
def test_decision_names_who_asked_and_why_or_why_not(more, retrain, trigger, reason):
    decision = decide_retraining(POLICY, situation(**more), now=1000.0)
    assert (decision.retrain, decision.trigger) == (retrain, trigger)
    assert reason in "; ".join(decision.reasons)


def test_what_the_policy_does_not_listen_to_does_not_retrain():
    deaf = RetrainPolicy(triggers=(Trigger.MANUAL,), min_new_rows=0)
    asked = situation(champion=None, verdicts=(verdict(Outcome.FAIL),))
    assert not decide_retraining(deaf, asked, now=0).retrain


@given(st.lists(st.floats(0, 5 * DAY), max_size=30), st.sampled_from(list(Trigger)))
def test_without_force_no_two_trainings_fall_into_one_cool_down(moments, trigger):
    policy, trained = RetrainPolicy(cooldown_seconds=3600, min_new_rows=0, max_per_week=4), []
    for now in sorted(moments):
        asked = situation(trigger=trigger, champion=None, trained_at=tuple(trained))
        if decide_retraining(policy, asked, now=now).retrain:
            trained.append(now)
    assert all(later - earlier >= 3600 for earlier, later in pairwise(trained))
    assert len(trained) <= 4


def test_limit_that_cannot_be_meant_is_refused():
    with pytest.raises(InvalidConfigError, match="cooldown_seconds: -1"):
        RetrainPolicy(cooldown_seconds=-1)
