"""The table that says where to change what names files that are there, and names that are defined in them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "how-to" / "change-what.md").read_text()
ROWS = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| to change")]
PATHS = sorted(set(re.findall(r"`([\w./-]+(?:/|\.(?:py|md|j2)))`", TEXT)))
NAMED = [
    (path, name)
    for path, names in re.findall(r"`([\w./-]+\.py)` \(((?:`\w+`(?:, )?)+)\)", TEXT)
    for name in re.findall(r"`(\w+)`", names)
]


def place(path):
    return next((base / path for base in (ROOT / "airflow_mlops", ROOT) if (base / path).exists()), None)


def defined_in(file):
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name))


def test_table_is_long_enough_to_help_and_short_enough_to_read():
    assert 25 <= len(ROWS) <= 45
    assert len(PATHS) > 40
    assert len(NAMED) > 40


@pytest.mark.parametrize("path", PATHS)
def test_file_is_there(path):
    assert place(path) is not None, path


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_name_is_defined_in_its_file(path, name):
    assert name in set(defined_in(place(path)))


def test_every_stage_and_layer_is_named():
    for stage in ("data", "training", "validation", "release", "rollout", "monitoring", "retraining"):
        assert any(path.startswith(f"core/{stage}/") for path in PATHS), stage
    for layer in (ROOT / "airflow_mlops").iterdir():
        if layer.is_dir() and (layer / "__init__.py").exists() and layer.name != "demo":
            assert f"`{layer.name}/`" in TEXT or f"`{layer.name}/" in TEXT, layer.name
