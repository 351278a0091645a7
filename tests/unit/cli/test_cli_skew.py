from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops.cli import main


@pytest.fixture
def lake(tmp_path, monkeypatch):
    """Eight quiet days and one on which a column moved."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "days").mkdir()
    for day in range(9):
        rng = np.random.default_rng(day)
        shift = rng.normal(0, 0.05) if day < 8 else 3.0
        rows = pa.table(
            {"x": rng.normal(shift, 1, 2000), "c": rng.choice(list("ab"), 2000), "id": np.arange(2000)}
        )
        folder = "days" if day < 8 else "."
        pq.write_table(rows, tmp_path / folder / f"2013-01-0{day + 1}.parquet")
    (tmp_path / "policy.yaml").write_text("ignore: [id]\nlabels: [c]\n")
    return tmp_path


MOVED, QUIET = "2013-01-09.parquet", "days/2013-01-01.parquet"


def test_ranked_table_is_printed_and_html_written(lake, capsys):
    assert main(["skew", "days", MOVED, "--policy", "policy.yaml", "--html", "r.html"]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("skew: fail, 5 checks\n  x: ks moved by 0.8")
    assert [line.split()[:2] for line in printed.splitlines()[3:5]] == [["column", "test"], ["x", "ks"]]
    html = (lake / "r.html").read_text()
    assert "days (16,000 rows) against 2013-01-09.parquet (2,000 rows)" in html


def test_report_is_printed_as_json(lake, capsys):
    assert main(["skew", "days", MOVED, "--policy", "policy.yaml", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["verdict"]["outcome"], report["tests"][0]["column"]) == ("fail", "x")
    assert {test["role"] for test in report["tests"]} == {"feature", "label"}


def test_thresholds_are_calibrated_on_the_references_partitions(lake, capsys):
    assert main(["skew", "days", QUIET, "--policy", "policy.yaml", "--calibrate"]) == 0
    assert "note: thresholds calibrated on 8 blocks of history" in capsys.readouterr().out
    assert main(["skew", "days", MOVED, "--policy", "policy.yaml", "--calibrate"]) == 1
    assert main(["skew", QUIET, QUIET, "--policy", "policy.yaml", "--calibrate"]) == 0
    assert "not calibrated: 1 block of history" in capsys.readouterr().out


def test_chosen_partitions_are_the_blocks(lake, capsys):
    chosen = [part for day in range(1, 7) for part in ("--reference-partition", f"2013-01-0{day}")]
    assert main(["skew", "days", QUIET, *chosen, "--policy", "policy.yaml", "--calibrate"]) == 0
    assert "calibrated on 6 blocks" in capsys.readouterr().out


def test_all_columns_are_compared_together_on_demand(lake, capsys):
    assert main(["skew", "days", MOVED, "--policy", "policy.yaml", "--multivariate"]) == 1
    assert "all columns together: windows told apart with AUC 0.9" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [("thresold: 1", "policy.yaml: unknown key 'thresold'"), (None, "none.yaml: No such file")],
)
def test_policy_that_is_not_understood_could_not_be_measured(lake, capsys, text, said):
    if text:
        (lake / "policy.yaml").write_text(text)
    assert main(["skew", "days", QUIET, "--policy", "policy.yaml" if text else "none.yaml"]) == 2
    assert said in capsys.readouterr().err


def test_policy_that_is_no_text_is_refused(lake, capsys):
    (lake / "policy.yaml").write_bytes(b"\xff\xfe")
    assert main(["skew", "days", QUIET, "--policy", "policy.yaml"]) == 2
    assert "policy.yaml: line 1: byte" in capsys.readouterr().err


def test_policy_that_names_an_unknown_column_is_inconclusive(lake, capsys):
    (lake / "policy.yaml").write_text("ignore: [id]\ncolumns: {xx: {threshold: 0.1}}\n")
    assert main(["skew", "days", "days", "--policy", "policy.yaml"]) == 2
    assert "xx: named by the policy, in no window; did you mean 'x'?" in capsys.readouterr().out
