from __future__ import annotations

from dataclasses import replace

import pytest
from builders import candidate, comparison, report

from airflow_mlops.backends.reporting.page import render_card
from airflow_mlops.core.errors import CardIncompleteError
from airflow_mlops.core.release.card import CARD_SECTIONS, EMPTY_SECTION, CardFacts, Statement, card_of
from airflow_mlops.core.release.readiness import Difference, ReadinessMeasurements, Timing

STATEMENT = Statement(
    owners=("Ann <ann@example.org>", "ops"),
    intended_use="Ranks flights by risk.",
    limitations=("Not for cargo.", "Weak in storms."),
    more={"Ethics": "No personal data."},
)
READY = ReadinessMeasurements(
    model="m",
    version="2",
    differences=(Difference(package="numpy", recorded="==2.1", found="2.2"),),
    one_by_one=Timing(requests=200, p50_ms=3.0, p99_ms=12.0),
    at_once=Timing(requests=200, per_second=150.0),
    rss_mb=300.0,
)
FACTS = CardFacts(
    candidate=candidate(),
    report=report(comparison(), comparison(segment="origin=JFK", lower=-0.01)),
    readiness=READY,
    tags={"mlops.git_sha": "abc123", "mlops.versions": '{"numpy": "2.1"}', "mlops.dag_id": "m__training"},
    schema={"Suite": "flights", "Digest": "sha256:00", "Rules": "7"},
    statement=STATEMENT,
)


def test_card_has_every_section_filled_from_the_evidence():
    card = card_of(FACTS)
    card.require((*CARD_SECTIONS, "Ethics"))
    text = card.markdown()
    for said in (
        "# m version 2",
        "Ranks flights by risk.",
        "- Digest: sha256:ab",
        "- Suite: flights",
        "| roc\\_auc | 1000 | 0.8100 | champion | 0.8000 | +0.0100 (+0.0020 to +0.0180) | better |",
        "| origin=JFK | roc\\_auc |",
        "- Commit: abc123",
        '- Parameters: {"depth": 6}',
        "- Latency: p50 3 ms, p99 12 ms",
        "numpy ==2.1 (serving: 2.2)",
        "## Ethics",
    ):
        assert said in text, said


@pytest.mark.parametrize(
    ("changes", "empty"),
    [
        ({"statement": replace(STATEMENT, limitations=())}, "limitations"),
        ({"statement": replace(STATEMENT, intended_use=" ")}, "intended_use"),
        ({"report": None}, "metrics, segments"),
        ({"readiness": None}, "serving"),
        ({"schema": {}}, "schema"),
        ({"report": report(comparison())}, "segments"),
        ({"statement": replace(STATEMENT, more={"Ethics": ""})}, "Ethics"),
    ],
)
def test_required_section_that_is_empty_is_named(changes, empty):
    card = card_of(replace(FACTS, **changes))
    with pytest.raises(CardIncompleteError, match=f"required section {empty} is empty"):
        card.require((*CARD_SECTIONS, "Ethics"))
    assert EMPTY_SECTION in card.markdown()


def test_text_of_people_and_data_is_shown_as_it_is():
    nasty = "<script>alert(1)</script> | [x](javascript:1) **b**"
    card = card_of(replace(FACTS, statement=Statement(intended_use=nasty)))
    assert "<script>" not in render_card(card)
    assert "&lt;script&gt;" in render_card(card)
    assert "\\<script\\>alert(1)\\</script\\> \\| \\[x\\](javascript:1) \\*\\*b\\*\\*" in card.markdown()


def test_page_needs_no_network_and_runs_no_script():
    page = render_card(card_of(FACTS))
    assert not any(mark in page for mark in ("<script", "http://", "https://", "<link", "@import"))
    assert "+0.0100 (+0.0020 to +0.0180)" in page


def test_many_segments_are_cut_and_the_rest_is_counted():
    many = [comparison(segment=f"id={n}") for n in range(230)]
    assert "30 more are in the validation report." in card_of(replace(FACTS, report=report(*many))).markdown()
