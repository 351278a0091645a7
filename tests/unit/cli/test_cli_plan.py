"""``airflow-mlops plan``: what its page shows is what it prints; a window's own counts; what is refused."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from airflow_mlops.cli import main

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "plan.md").read_text()
((COMMAND, PRINTED),) = re.findall(r"```console\n\$ (.*?)\n(.*?)```", PAGE, flags=re.DOTALL)
CONFIG = """
model: churn
data: {uri: /lake, target: churned, schema: s.yaml, key: [id], segments: [origin], exclude: [origin, day]}
train: {function: "builders:fit"}
validate: {margin: {accuracy: 0.05}, floor: {accuracy: 0.7}}
rollout: {steps: [50], burst: 1}
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "churn.yaml"
    path.write_text(CONFIG)
    return str(path)


@pytest.fixture
def lake(tmp_path):
    rng = np.random.default_rng(0)
    rows = 4000
    frame = pd.DataFrame(
        {
            "id": np.arange(rows),
            "origin": np.where(np.arange(rows) % 40 == 0, "HPN", "JFK"),
            "x": rng.normal(size=rows),
            "day": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(rows) % 10, unit="D"),
            "churned": rng.random(rows) < 0.3,
        }
    )
    (tmp_path / "lake").mkdir()
    frame.to_parquet(tmp_path / "lake" / "a.parquet")
    return str(tmp_path / "lake")


def test_command_prints_what_the_page_shows(capsys):
    assert main(shlex.split(COMMAND)[1:]) == 0
    printed = capsys.readouterr().out
    assert printed == PRINTED


def test_window_gives_prevalence_days_and_segments_and_the_power_of_its_rows(config, lake, capsys):
    assert main(["plan", config, "--data", lake]) == 1
    printed = capsys.readouterr().out
    assert re.search(r"assumed: accuracy 0\.\d+, 0\.(29|3)\d* of the rows positive", printed)
    assert re.search(r"claim +held-back rows +rests on +rows in all +days +power at 1?,?\d{3}\n", printed)
    assert re.search(r"accuracy: not worse than the champion +\d+ .* 1\.00\n", printed)
    assert re.search(r"2 segments: not worse in any +[\d,]+ .* 0\.00\n", printed)
    assert "canary at 50 %: errors below 0.02 190\n" in re.sub(" +", " ", printed)
    assert re.search(r"! data\.segments\.origin: 1 of 2 segments below .*: HPN \(\d\d\)\n", printed)


def test_segments_without_a_window_are_said_not_to_be_planned(config, capsys):
    assert main(["plan", config, "--requests-per-day", "86400"]) == 0
    assert "! not planned: segments of origin; give --data, or --segments and their number\n" in (
        capsys.readouterr().out
    )


def test_without_data_it_is_said_that_neither_uri_nor_columns_were_looked_at(config, lake, capsys):
    said = "! not looked at: data.uri /lake, its columns and its classes; give --data\n"
    main(["plan", config])
    assert said in capsys.readouterr().out
    main(["plan", config, "--data", lake])
    assert "not looked at" not in capsys.readouterr().out


def test_three_classes_are_named_and_no_figures_of_two_are_printed(tmp_path, lake, capsys):
    frame = pd.read_parquet(lake)
    frame["churned"] = np.where(frame.index % 50 == 0, "paused", np.where(frame["churned"], "left", "stays"))
    frame.to_parquet(f"{lake}/a.parquet")
    path = tmp_path / "m.yaml"
    path.write_text(CONFIG.replace("segments: [origin], ", "") + "monitor: {metric: accuracy}\n")
    assert main(["plan", str(path), "--data", lake]) == 2
    printed = capsys.readouterr().out
    assert "! not planned: accuracy: 3 classes\n" in printed
    assert "! not planned: monitoring of accuracy: 3 classes\n" in printed
    assert "assumed" not in printed
    assert "held-back" not in printed


def test_rows_of_one_entity_count_as_one_and_a_wrong_name_is_refused(tmp_path, lake, capsys):
    def planned(entity):
        path = tmp_path / "m.yaml"
        path.write_text(CONFIG.replace("validate: {", f"validate: {{entity: [{entity}], "))
        code = main(["plan", str(path), "--data", lake])
        return code, capsys.readouterr()

    frame = pd.read_parquet(lake)
    frame["customer"] = frame["id"] % 100
    frame.to_parquet(f"{lake}/a.parquet")
    rows, entities = (
        re.search(r"not worse than the champion +([\d,]+)", planned(name)[1].out)[1]
        for name in ("id", "customer")
    )
    assert float(entities.replace(",", "")) > 8 * float(rows.replace(",", ""))
    assert re.search(
        r"! validate.entity customer: 1?[09]\.?\d* held-back rows count as one", planned("customer")[1].out
    )
    code, said = planned("custmer")
    assert code == 2
    assert "validate.entity: column custmer is missing" in said.err
    assert "did you mean 'customer'?" in said.err


def test_own_metrics_are_named_and_the_others_planned(tmp_path, capsys):
    path = tmp_path / "m.yaml"
    own = "validate: {margin: {accuracy: 0.05, profit: 1}, metrics: {profit: {function: 'm:profit'}}}"
    path.write_text(re.sub("validate:.*", own, CONFIG))
    main(["plan", str(path), "--segments", "2"])
    printed = capsys.readouterr().out
    assert "! not planned: profit, which needs rows with scores\n" in printed
    assert "accuracy: not worse than the champion" in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to plan; allowed: a model's YAML file, or --metric and --margin"),
        (["--metric", "roc_auc"], "nothing to plan"),
        (["--metric", "rmse", "--margin", "3"], "rmse has a unit: give the champion's with --value"),
        (["--metric", "ndcg", "--margin", ".1"], "ndcg"),
        (["--metric", "roc_au", "--margin", ".1"], "did you mean 'roc_auc'"),
        (["--metric", "roc_auc", "--margin", ".1", "--data", "/x"], "with a model's YAML file"),
        (["--metric", "roc_auc", "--margin", ".1", "--prevalence", "2"], "prevalence 2, allowed"),
    ],
)
def test_what_cannot_be_planned_is_refused_with_what_is_allowed(arguments, said, capsys):
    assert main(["plan", *arguments]) == 2
    assert said in capsys.readouterr().err
