from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_mlops.backends.reporting.chart import (
    FOREST_RIGHT,
    ForestValue,
    bar_pairs,
    edge_ticks,
    forest,
    round_ticks,
    shorten,
)


def test_row_without_a_value_has_no_mark():
    (row,) = forest([ForestValue(name="x", words="none", look="baseline", value=None)], "metric").rows
    assert (row.at, row.low, row.beyond) == (None, None, 0)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (-0.013, 0.021, (-0.01, 0.0, 0.01, 0.02)),
        (0.0, 1.0, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (1e6, 1.001e6, tuple(1e6 + 200 * i for i in range(6))),
    ],
)
def test_ticks_are_round_numbers_inside_the_range(low, high, ticks):
    assert round_ticks(low, high) == pytest.approx(ticks)


def test_marks_stay_inside_the_frame_and_names_are_cut():
    rows = [ForestValue(name="n" * 90, words="", look="better", value=value) for value in (0.0, 1.0, 1e12)]
    drawn = forest([replace(rows[0]), rows[1], replace(rows[2], sets_scale=False)], "x")
    assert all(drawn.left <= row.at <= FOREST_RIGHT for row in drawn.rows)
    assert drawn.rows[0].full_name == "n" * 90
    assert shorten("n" * 90).endswith("…")


def test_row_of_all_others_has_no_bars_and_sets_no_scale():
    first, others = bar_pairs([("a", 0.2, 0.1), ("others", 0.8, 0.9)], without_bars="others")
    assert (first.reference, first.current) == (140.0, 70.0)
    assert (others.reference, others.current, others.current_text) == (0.0, 0.0, "90.0%")


def test_edges_are_told_at_both_ends_and_in_the_middle():
    edges = [float(edge) for edge in range(5)]
    assert edge_ticks(edges, "{:g}".format, step=10.0) == ((10.0, "0"), (30.0, "2"), (50.0, "4"))
    assert edge_ticks(edges, "{:g}".format, step=10.0, dropped=1)[0] == (0.0, "0")
    assert edge_ticks([7.0], "{:g}".format, step=10.0) == ((10.0, "7"),)
