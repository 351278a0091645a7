from __future__ import annotations

import pytest
from builders import comparison, report, verdict

from airflow_mlops.core.release.approval import Choice, When, must_ask, question
from airflow_mlops.core.validation.report import ComparisonAnswer
from airflow_mlops.core.verdict import Outcome

PASS, WARN = verdict(Outcome.PASS, "validation"), verdict(Outcome.WARN, "readiness")


@pytest.mark.parametrize(
    ("when", "verdicts", "asked"),
    [
        (When.REQUIRED, [PASS], True),
        (When.ON_WARNING, [PASS, PASS], False),
        (When.ON_WARNING, [PASS, WARN], True),
        (When.ON_WARNING, [verdict(Outcome.INCONCLUSIVE)], True),
    ],
)
def test_person_is_asked_when_required_or_warned(when, verdicts, asked):
    assert must_ask(when, verdicts) is asked


def test_form_shows_the_comparison_what_is_wrong_and_where_the_rest_is():
    weak = comparison(segment="origin=JFK", answer=ComparisonAnswer.TOO_CLOSE)
    fine = comparison(segment="origin=LGA")
    body = question(report(comparison(), weak, fine), [PASS, WARN], {"evidence run": "http://m/1", "no": ""})
    assert "| all | roc\\_auc | 1000 | 0.8100 | champion | 0.8000 |" in body
    assert "origin=JFK" in body
    assert "origin=LGA" not in body
    assert "1 more comparisons are in the report." in body
    assert "baseline" not in body
    assert "The *baseline* is the best constant prediction" in question(
        report(comparison(rival="baseline")), [PASS], {}
    )
    assert "**readiness: warn**\n\n- readiness warn" in body
    assert body.endswith("[evidence run](http://m/1)")


def test_form_without_a_report_still_shows_the_verdicts():
    assert question(None, [PASS], {}) == "### What the checks say\n\n**validation: pass**"


def test_form_says_what_each_answer_does_and_what_applies_without_one():
    known = {"model": "late_flights", "version": "8", "default": "Reject", "until": "Friday"}
    body = question(None, [PASS], {}, Choice(champion="7", **known))
    assert body.startswith("Version 8 of **late\\_flights** is trained and was checked.")
    assert "**Reject**: the tasks that follow are skipped; version 7, the champion, goes on serving." in body
    assert "No answer until Friday: *Reject* applies." in body
    assert "still no version serves." in question(None, [PASS], {}, Choice(champion=None, **known))


def test_form_says_that_an_answer_was_lost_when_it_asks_again():
    known = {"model": "m", "version": "8", "champion": None, "default": "Reject", "until": "Friday"}
    again = question(None, [PASS], {}, Choice(asked_before=True, **known))
    assert again.startswith("**You may have answered this before.** No answer arrived")
    assert "answered this before" not in question(None, [PASS], {}, Choice(**known))
