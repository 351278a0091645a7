from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.backends.reporting.skew import plot_of, render_skew, skew_text, write_skew
from airflow_mlops.core.data.profile.column import Kind
from airflow_mlops.core.data.skew.compare import compare_profiles, with_multivariate
from airflow_mlops.core.data.skew.policy import SkewPolicy
from airflow_mlops.core.data.skew.report import Distribution, MultivariateResult
from airflow_mlops.core.errors import InvalidConfigError

EVIL = "<script>alert(1)</script>"


def table(rng, shift=0.0):
    names = [EVIL, "b", "a category with a rather long name"]
    stamps = np.datetime64("2013-01-01") + rng.integers(0, 90, 2000)
    return pa.table(
        {
            "moved": rng.normal(shift, 1, 2000),
            "calm": pa.array(rng.integers(0, 5, 2000), mask=rng.random(2000) < 0.1),
            "when": stamps,
            EVIL: rng.choice(names, 2000, p=[0.5, 0.3, 0.2]),
            "empty": pa.nulls(2000, pa.float64()),
        }
    )


@pytest.fixture(scope="module")
def report():
    rng = np.random.default_rng(0)
    reference = profile_table(table(rng))
    current = profile_table(table(rng, shift=1.0), bins_from=reference)
    return compare_profiles(reference, current, SkewPolicy(labels=("calm",)))


class Reader(HTMLParser):
    """Collects tags, attributes that could fetch, and text; complains about tags that do not close."""

    void = ("meta", "rect", "path", "line", "circle")

    def __init__(self, html):
        super().__init__()
        self.tags, self.fetched, self.words, self.open = [], [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.fetched += [value for name, value in attrs if name in ("src", "href", "xlink:href", "action")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.void:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_report_is_self_contained_and_what_it_shows_is_escaped(report):
    html = render_skew(report, title=EVIL, reference="<b>one</b>", current='"two"')
    seen = Reader(html)
    assert "script" not in seen.tags
    assert seen.fetched == []
    assert not re.search(r"url\(|@import|https?://", html)
    assert EVIL not in html
    assert any(EVIL in words for words in seen.words)


def test_verdict_reasons_and_skewed_columns_come_first(report):
    html = render_skew(report)
    assert "Skew found in 1 of 5 columns" in html
    places = [html.index(text) for text in ("Skew found", "moved: ks moved", "Tests, strongest", "<article")]
    assert all(before < after for before, after in pairwise(places))
    first = html[html.index("<article") : html.index("</article")]
    assert "moved <span" in first
    assert 'class="area"' in first
    assert html.count("<article") == 5
    assert ">label<" in html


def test_passing_report_says_so_and_names_what_was_left_out(report):
    quiet = compare_profiles(*[profile_table(table(np.random.default_rng(1)))] * 2)
    html = render_skew(quiet)
    assert "Every column stayed within its threshold." in html
    assert "No values to plot." in html
    told = {"auc": 0.5, "lower": 0.48, "p_value": 0.9, "threshold": 0.55, "sentence": "not told apart"}
    result = MultivariateResult(**told, reference_rows=9, current_rows=9, skewed=False)
    assert "not told apart" in render_skew(with_multivariate(quiet, result))
    assert "not told apart" in skew_text(with_multivariate(quiet, result))


def test_wide_report_stays_bounded():
    rng = np.random.default_rng(2)
    data = profile_table(pa.table({f"c{i}": rng.normal(size=200) for i in range(160)}))
    html = render_skew(compare_profiles(data, data))
    assert html.count("<article") == 100
    assert "Plots of 60 weaker columns are left out." in html
    assert "20 weaker tests not shown" in html
    assert len(html) < 2_000_000


def test_text_ranks_tests_and_says_how_many_more_there_are(report):
    lines = skew_text(report).splitlines()
    assert lines[0].startswith("skew: fail, ")
    assert lines[1].startswith("  moved: ks moved by 0.4")
    table_lines = lines[lines.index("") + 1 :]
    assert table_lines[0].split() == ["column", "test", "moved", "at", "least", "allowed", "threshold", "is"]
    assert table_lines[1].startswith("moved")
    assert table_lines[1].split()[-2:] == ["default", "skewed"]


def test_bins_hold_the_mass_of_their_cells():
    edges = tuple(float(i) for i in range(41))
    shares = (0.0, *[1 / 40] * 40, 0.0)
    even = Distribution(column="x", kind=Kind.NUMBER, edges=edges, reference=shares, current=shares)
    heights = {float(top) for top in re.findall(r"V([\d.]+) H", plot_of(even).line)}
    assert heights == {6.0}
    assert [text for _, text in plot_of(even).ticks] == ["0", "20", "40"]


def test_file_that_cannot_be_written_is_a_named_error(report, tmp_path):
    write_skew(report, str(tmp_path / "r.html"), title="Flights")
    assert "<title>Flights</title>" in (tmp_path / "r.html").read_text()
    with pytest.raises(InvalidConfigError, match="No such file"):
        write_skew(report, str(tmp_path / "none" / "r.html"))
