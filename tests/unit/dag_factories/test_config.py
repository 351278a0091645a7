from __future__ import annotations

import pytest
import yaml

from airflow_mlops.assets import data_asset
from airflow_mlops.core.data.dataset_uri import CsvOptions, DatasetUri
from airflow_mlops.core.errors import InvalidConfigError, InvalidPlanError
from airflow_mlops.dag_factories.checked import seconds
from airflow_mlops.dag_factories.config import (
    DataConfig,
    RetrainConfig,
    RolloutConfig,
    TrainConfig,
    load_config,
)
from airflow_mlops.dag_factories.model import model_dags
from airflow_mlops.dag_factories.monitoring import monitor_dag
from airflow_mlops.dag_factories.training import training_dag
from airflow_mlops.dag_factories.validate import ValidateConfig

TEXT = """
model: churn
data: {uri: /lake/churn, target: churned, schema: churn.yaml, segments: [country]}
train: {function: "churn_model:fit", params: {max_depth: 6}}
validate: {margin: {roc_auc: 0.002}, floor: {roc_auc: 0.8}}
rollout: {steps: [5, 25, 100], bake: 30m}
retrain: {cooldown: 24h, triggers: [manual, skew]}
"""


@pytest.fixture
def load(tmp_path):
    def from_text(text):
        (tmp_path / "churn.yaml").write_text(text)
        return load_config(tmp_path / "churn.yaml")

    return from_text


def test_yaml_becomes_typed_policies(load):
    read = load(TEXT)
    assert read.rollout.plan().steps == (5, 25, 100)
    assert (read.rollout.plan().bake_seconds, read.retrain.policy().cooldown_seconds) == (1800, 86400)
    assert read.validate.policy().floor == {"roc_auc": 0.8}
    assert read.data.spec().segments == ("country",)
    assert (read.performance_policy().metric, read.skew_policy().alpha) == ("roc_auc", 0.05)


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("bake: 30m", "bakes: 30m", "unknown key 'rollout.bakes'; one of: steps, .*did you mean 'bake'"),
        ("model: churn", "model: churn\nrolout: {}", "unknown key 'rolout'.*did you mean 'rollout'"),
        ("bake: 30m", "bake: half an hour", "rollout.bake: .*'half an hour' is no duration; allowed"),
        ("model: churn", "model: it's", "is no model name; allowed"),
        ("target: churned, ", "", "key 'data.target' is missing"),
        ("[manual, skew]", "[manual, boredom]", r"retrain\.triggers\.1: 'boredom', one of: cold_start, "),
        ("steps: [5, 25, 100]", "steps: [five]", r"rollout\.steps\.0"),
        ("rollout: {", "rollout: {backend: nomad, ", r"rollout\.backend: 'nomad', one of: local, kserve"),
        ("model: churn", "{", "no YAML: line"),
        (
            "model: churn",
            "model: churn\nmodel: churn",
            r"churn\.yaml: no YAML: line 3, .*'model' stands .* twice",
        ),
        (
            "segments: [country]",
            "segments: [no]",
            r"data\.segments\.0: False, allowed: text; write it in quotes",
        ),
        ("segments: [country]", "history: 0", r"data\.history: 0, allowed: 1 or more"),
        ("segments: [country]", "history: -3", r"data\.history: -3, allowed: 1 or more"),
        ("segments: [country]", "segments: [churned]", r"data\.segments: holds the target 'churned'"),
        ("segments: [country]", "features: [age, churned]", r"data\.features: holds the target 'churned'"),
        ("segments: [country]", "key: [churned]", r"data\.key: holds the target 'churned'"),
        ("segments: [country]", "exclude: [churned]", r"data\.exclude: holds the target 'churned'"),
        ("segments: [country]", "segments: [a, a]", r"data\.segments: names 'a' twice"),
        (
            "segments: [country]",
            "features: [a], exclude: [a]",
            r"data\.features: 'a' stands in data\.exclude",
        ),
        ("segments: [country]", "holdout_share: 2", r"data\.holdout_share: 2\.0, allowed: above 0"),
        ("cooldown: 24h", "cooldown: -1", r"retrain\.cooldown: -1 is no duration; allowed: seconds from 0"),
        ("cooldown: 24h", "cooldown: .nan", r"retrain\.cooldown: nan is no duration"),
        ("cooldown: 24h", "max_per_week: -1", r"churn\.yaml: retrain\.max_per_week: -1, allowed: 0 or more"),
        ("model: churn", "model: churn\nretries: -1", r"retries: -1, allowed: 0 or more"),
        ("model: churn", "model: churn\nmonitor: {max_missing: .nan}", "max_missing: nan, allowed: a finite"),
        (
            "model: churn",
            "model: churn\nmonitor: {min_rows: 0}",
            r"churn\.yaml: monitor\.min_rows: 0, allowed",
        ),
        (
            "model: churn",
            "model: churn\nschedule: weekly",
            "schedule: 'weekly' is no schedule; allowed: a cron",
        ),
        ("model: churn", "model: churn\nschedule: '@once'", "schedule: '@once' is no schedule"),
        ("model: churn", "model: churn\nschedule: 61 * * * *", r"schedule: '61 .*' is no schedule"),
        ("schema: churn.yaml", "schema: churn.yaml, watch: 0s", "data.watch: 0 s, allowed: above 0"),
        (
            "schema: churn.yaml",
            "schema: churn.yaml, complete: ok",
            "data.complete: 'ok', one of: stable, marker",
        ),
    ],
)
def test_mistake_in_yaml_is_named_with_what_is_allowed(load, before, after, named):
    with pytest.raises(InvalidConfigError, match=named):
        load(TEXT.replace(before, after))


def test_key_is_never_compared_for_skew(load):
    text = TEXT.replace("segments: [country]", "key: [customer]") + "skew: {ignore: [day]}\n"
    assert load(text).skew_policy().ignore == ("day", "customer")


@pytest.mark.parametrize("schedule", ["'@weekly'", "'@monthly'", "'0 6 * * 1'", "null"])
def test_schedule_is_a_preset_or_cron(load, schedule):
    assert str(load(f"{TEXT}schedule: {schedule}\n").schedule) in ("@weekly", "@monthly", "0 6 * * 1", "None")


@pytest.mark.parametrize(("text", "named"), [("", "empty"), ("- 1\n", "a list")])
def test_file_without_keys_is_named_with_those_it_may_have(load, text, named):
    with pytest.raises(
        InvalidConfigError, match=rf"churn\.yaml: {named}, allowed: a mapping with keys of: model, "
    ):
        load(text)


def test_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InvalidConfigError, match=r"none\.yaml"):
        load_config(tmp_path / "none.yaml")


def test_mistake_in_python_is_the_same_named_error():
    with pytest.raises(InvalidConfigError, match="unknown key 'targt'; one of: uri, target"):
        DataConfig(uri="x", targt="y", schema="s", target="z")
    with pytest.raises(InvalidConfigError, match="margin"):
        ValidateConfig(margin="much")


def test_positions_work_as_in_the_readme():
    def fit(data, params):
        return None

    assert TrainConfig(fit, params={"depth": 1}).function is fit
    assert RolloutConfig("local", steps=(5, 50)).plan().steps == (5, 50)
    assert RetrainConfig(cooldown="24h").cooldown == 86400


def test_plan_that_must_not_be_carried_out_is_refused_with_its_file(load):
    with pytest.raises(InvalidPlanError, match=r"churn\.yaml: rollout\.steps\[1\]: 5 % after 50 %"):
        load(TEXT.replace("[5, 25, 100]", "[50, 5]"))


def test_plan_that_must_not_be_carried_out_is_refused_when_the_dag_is_built():
    with pytest.raises(InvalidPlanError, match="strictly rising"):
        RolloutConfig(steps=(50, 5)).plan()


@pytest.mark.parametrize(("text", "value"), [("30s", 30), ("1.5m", 90), ("2h", 7200), ("1d", 86400), (7, 7)])
def test_durations(text, value):
    assert seconds(text) == value


def test_reference_of_skew_is_chosen_in_yaml(load):
    text = TEXT + "skew: {reference: {rule: same_weekday, count: 6, at_least: 2}}\n"
    reference = load(text).skew.reference.choice()
    assert (reference.rule, reference.count, reference.at_least) == ("same_weekday", 6, 2)
    assert load(TEXT).skew.reference.choice().is_training


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        ("{rule: same_weekdy}", "'same_weekdy'; one of: training, .*did you mean 'same_weekday'"),
        ("{rule: last, cuont: 2}", r"unknown key 'skew\.reference\.cuont'.*did you mean 'count'"),
        ("{rule: partitions}", "one or more keys with rule partitions"),
    ],
)
def test_mistake_in_the_reference_is_named(load, reference, named):
    with pytest.raises(InvalidConfigError, match=named):
        load(TEXT + f"skew: {{reference: {reference}}}\n")


RICH = """
  relative_margin: {log_loss: 0.01}
  entity: [customer]
  slices: {depth: 1, outcome: fail}
  fairness: [{column: gender, metric: selection_rate, limit: 0.05}]
  calibration: {ece: 0.05}
  poisoning: {columns: [annotator]}
  on_unusable_champion: continue
  metrics: {profit: {function: "churn_model:profit", greater_is_better: false}}
  checks: [{function: "churn_checks:direction", severity: warning}]
"""
BARS = "validate: {margin: {roc_auc: 0.002}, floor: {roc_auc: 0.8}}"
WIDE = "validate:\n  margin: {roc_auc: 0.002, profit: 0.1}\n  floor: {roc_auc: 0.8}" + RICH


def test_all_of_validation_is_configured_in_yaml(load):
    bars = load(TEXT.replace(BARS, WIDE)).validate
    policy = bars.policy()
    assert policy.metrics == ("roc_auc", "profit", "log_loss")
    assert (policy.slices.depth, str(policy.slices.outcome)) == (1, "fail")
    assert (policy.fairness[0].limit, policy.calibration.ece) == (0.05, 0.05)
    assert policy.poisoning.columns == ("annotator",)
    assert (policy.on_unusable_champion, policy.entity) == ("continue", ("customer",))
    assert [(m.name, m.greater_is_better) for m in bars.own_metrics()] == [("profit", False)]
    assert [(c.function, c.severity) for c in bars.own_checks()] == [("churn_checks:direction", "warning")]
    assert load(TEXT.replace(BARS, BARS[:-1] + ", slices: null}")).validate.policy().slices is None


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        (
            "depth: 1",
            "depht: 1",
            r"unknown key 'validate\.slices\.depht'; one of: metric.*did you mean 'depth'",
        ),
        (
            "limit: 0.05",
            "limits: 0.05",
            r"unknown key 'validate\.fairness\.0\.limits'; .*did you mean 'limit'",
        ),
        (
            "greater_is",
            "greater",
            r"unknown key 'validate\.metrics\.profit\.greater_better'; one of: function",
        ),
        (
            "severity: warning",
            "severity: grave",
            r"validate\.checks\.0\.severity: 'grave', one of: info, warning",
        ),
        ("continue", "go on", r"validate\.on_unusable_champion: 'go on', one of: stop, continue"),
        ("{log_loss:", "{logloss:", "'logloss' is not known; .*did you mean 'log_loss'"),
        ("profit: 0.1", "profits: 0.1", "did you mean 'profit'"),
        ("ece: 0.05", "ece: 5", r"validate\.calibration: ece 5.0, .*allowed"),
        (
            "margin: {roc_auc: 0.002, profit: 0.1}",
            "margin: {roc_auc: -1}",
            r"margin\.roc_auc: -1, allowed: a number from 0 to 1",
        ),
        ("roc_auc: 0.002", "roc_auc: 2", r"margin\.roc_auc: 2, allowed: .* in the metric's unit"),
    ],
)
def test_mistake_in_validation_is_named_before_anything_runs(load, before, after, named):
    with pytest.raises(InvalidConfigError, match=named):
        load(TEXT.replace(BARS, WIDE.replace(before, after, 1)))


def test_skew_takes_all_that_its_policy_takes(load):
    limits = "columns: {income: {distance: wasserstein, threshold: 0.1}}"
    policy = load(TEXT + f"skew: {{numeric: jensen_shannon, rows_per_entity: 3, {limits}}}\n").skew_policy()
    assert (policy.numeric, policy.rows_per_entity, policy.labels) == ("jensen_shannon", 3.0, ("churned",))
    assert policy.configured("income", "wasserstein") == 0.1


@pytest.mark.parametrize(
    ("skew", "named"),
    [
        ("{numeric: kolmogorov}", "skew.numeric: .*'kolmogorov'"),
        ("{columns: {income: {treshold: 1}}}", "columns.income: unknown key 'treshold'.*mean 'threshold'"),
        ("{columns: [income]}", "columns: list, allowed: a mapping"),
        ("{ks: 2}", "skew.ks: 2.*allowed: 0 up to below 1"),
        ("{references: {}}", "unknown key 'skew.references'.*did you mean 'reference'"),
    ],
)
def test_skew_that_is_not_understood_is_named(load, skew, named):
    with pytest.raises(InvalidConfigError, match=named):
        load(TEXT + f"skew: {skew}\n")


def test_dag_that_watches_for_partitions_is_there_when_it_is_asked_for(load):
    text = TEXT.replace("schema: churn.yaml", "schema: churn.yaml, watch: 10m, complete: marker")
    (watch,) = (dag for dag in model_dags(load(text)) if dag.dag_id == "churn__watch")
    (sensor,) = watch.tasks
    assert (sensor.poll_seconds, sensor.complete, sensor.soft_fail) == (600, "marker", True)
    assert sensor.outlets == [data_asset("churn")]
    assert (watch.max_active_runs, watch.start_date is not None) == (1, True)
    assert "churn__watch" not in {dag.dag_id for dag in model_dags(load(TEXT))}


@pytest.mark.parametrize(
    ("validate", "monitor", "metric"),
    [
        ("{margin: {rmse: 1}}", "{}", "rmse"),
        ("{margin: {roc_auc_ovr: 0.01, log_loss: 0.1}}", "{}", "roc_auc_ovr"),
        ("{margin: {roc_auc: 0.01}, ceiling: {log_loss: 0.5}}", "{metric: log_loss}", "log_loss"),
        ("{margin: {ndcg: 0.01, log_loss: 0.1}}", "{}", "log_loss"),
        ("{margin: {ndcg: 0.01}}", "{}", None),
        ("{margin: {profit: 1}, metrics: {profit: {function: 'm:profit'}}}", "{}", None),
    ],
)
def test_production_is_measured_by_validation_s_first_metric_that_it_can_measure(
    load, validate, monitor, metric
):
    read = load(TEXT.replace(BARS, f"validate: {validate}") + f"monitor: {monitor}\n")
    policy = read.performance_policy()
    assert (policy and policy.metric) == metric
    (dag,) = [dag for dag in model_dags(read) if dag.dag_id == "churn__monitor"]
    assert dag.has_task("check_performance") is (metric is not None)
    assert {"check_skew", "check_predictions", "retrain_gate"} <= set(dag.task_ids)


def test_windows_are_judged_by_the_entity_of_validation_and_the_limits_of_monitoring(load):
    bars = "validate: {margin: {roc_auc: 0.01}, entity: [bank, branch]}"
    config = load(TEXT.replace(BARS, bars) + "monitor: {max_unlabelled: 0.2}\n")
    task = monitor_dag(config).get_task("check_performance")
    assert (tuple(task.entity), task.policy.max_unlabelled) == (("bank", "branch"), 0.2)


@pytest.mark.parametrize(
    ("bars", "monitor", "named"),
    [
        (BARS, "{metric: log_loss}", r"metric: 'log_loss' is not measured by validation.*of: roc_auc$"),
        ("validate: {margin: {ndcg: 0.01}}", "{metric: ndcg}", "'ndcg': allowed are metrics of single rows"),
        ("validate: {margin: {mae: 1}, floor: {mae: 2}}", "{}", r"churn\.yaml: validate\.floor\.mae: less"),
        (
            "validate: {margin: {p: 1}, floor: {p: 1}, "
            "metrics: {p: {function: 'm:p', greater_is_better: false}}}",
            "{}",
            r"validate\.floor\.p: less is better",
        ),
    ],
)
def test_metric_that_cannot_be_compared_is_refused_when_the_dags_are_built(load, bars, monitor, named):
    with pytest.raises(InvalidConfigError, match=named):
        load(TEXT.replace(BARS, bars) + f"monitor: {monitor}\n")


def test_dialect_of_csv_is_part_of_the_uri_that_every_task_reads(load):
    stated = "{delimiter: ';', decimal: ',', na_values: ['-'], dtypes: {zip: text}, final_newline: false}"
    config = load(TEXT.replace("segments: [country]", f"csv: {stated}"))
    assert DatasetUri.parse(config.data.dataset) == DatasetUri(
        location="/lake/churn", csv=CsvOptions.from_json(yaml.safe_load(stated))
    )
    tasks = [task for dag in (training_dag(config), monitor_dag(config)) for task in dag.tasks]
    assert {task.uri for task in tasks if hasattr(task, "uri")} == {config.data.dataset}


@pytest.mark.parametrize(
    ("csv", "named"),
    [
        ("{delimitr: ';'}", r"unknown key 'data\.csv\.delimitr'.*did you mean 'delimiter'"),
        ("{dtypes: {zip: txt}}", r"data\.csv\.dtypes\.zip: 'txt', one of: text, "),
        ("{decimal: ';'}", r"csv\.decimal: ';', allowed"),
    ],
)
def test_mistake_in_the_dialect_is_named(load, csv, named):
    with pytest.raises(InvalidConfigError, match=named):
        load(TEXT.replace("segments: [country]", f"csv: {csv}"))


def test_dialect_joins_options_that_the_uri_has():
    data = DataConfig(uri="/lake#version=3", target="y", schema="s", csv={"delimiter": ";"})
    assert data.dataset == "/lake#version=3&delimiter=%3B"
