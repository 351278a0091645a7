"""What the documents show must work."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from airflow_mlops.backends.training.rows import split_rows
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.training.job import DatasetSpec
from airflow_mlops.operators.training import fit_and_measure

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = [
    pytest.param(block, id=f"{path.stem}-{number}")
    for path in DOCUMENTS
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(), flags=re.DOTALL))
]


@pytest.mark.parametrize("block", BLOCKS)
def test_python_in_documents_runs(block):
    names = {}
    exec(compile(block, "document", "exec"), names)  # noqa: S102 - our own documents
    assert names.keys() > {"__builtins__"}


def test_readme_shows_a_pipeline_in_about_25_lines():
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)[1]
    assert len([line for line in block.splitlines() if line.strip()]) <= 27


def test_readme_trains_on_a_text_segment_that_is_also_a_feature():
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)[1]
    names = {}
    exec(compile(block, "README", "exec"), names)  # noqa: S102 - our own documents
    rng = np.random.default_rng(0)
    country = rng.choice(["CH", "DE", None], 2000)
    table = pa.table(
        {
            "customer_id": range(2000),
            "country": pa.array(country).dictionary_encode(),
            "member": pa.array([None if n % 5 == 0 else n % 2 == 0 for n in range(2000)]),
            "churned": rng.random(2000) < np.where(country == "CH", 0.8, 0.2),
        }
    )
    spec = DatasetSpec(target="churned", key=("customer_id",), segments=("country",))
    rows = split_rows(table, spec, Window(uri="/lake"))
    model, _, metrics = fit_and_measure(names["fit"], rows, spec, {"max_depth": 6})
    assert metrics["roc_auc"] > 0.75
    asked = pd.DataFrame({"country": ["CH", "never seen", None], "member": [1.0, None, 0.0]})
    assert np.isfinite(model.predict_proba(asked)).all()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_in_documents_lead_somewhere(path):
    targets = re.findall(r"\]\(([^)#]+)\)", path.read_text())
    assert [t for t in targets if "://" not in t and not (path.parent / t).exists()] == []


def test_compose_file_names_only_services_and_volumes_it_has():
    compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    services, volumes = compose["services"], set(compose["volumes"])
    assert {"postgres", "mlflow", "api-server", "scheduler", "dag-processor", "triggerer"} <= set(services)
    for service in services.values():
        assert set(service.get("depends_on", ())) <= set(services)
        named = {v.split(":")[0] for v in service.get("volumes", ()) if not v.startswith(".")}
        assert named <= volumes


def test_manifests_in_documents_are_yaml_and_call_commands_that_exist():
    from airflow_mlops.cli import _parser

    text = (ROOT / "docs" / "how-to" / "reaper.md").read_text()
    job = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, flags=re.DOTALL)[1])
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    commands = [pod["containers"][0]["command"], compose["services"]["reaper"]["command"].split()]
    for command in commands:
        assert command[:2] == ["airflow-mlops", "reap"]
        assert _parser().parse_args(command[1:]).state_dir == "/var/lib/serving"
