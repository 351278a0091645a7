"""Models of a folder: one file each, none of which takes another model's DAGs away."""

from __future__ import annotations

import logging

import pytest

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.dag_factories import dags_from_folder

TEXT = """
model: NAME
data: {uri: /lake, target: y, schema: s.yaml}
train: {function: "os.path:join"}
validate: {margin: {roc_auc: 0.01}}
"""


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "c"):
        (tmp_path / f"{name}.yaml").write_text(TEXT.replace("NAME", name))
    return tmp_path


def ids(dags):
    return {dag.dag_id.partition("__")[0] for dag in dags}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b"model: b\nmodel: b\n", "line 2, column 1: key 'model' stands there twice"),
        (TEXT.replace("NAME", "b").encode() + b"# \xe9t\xe9", "line 6: byte 0xe9 is not UTF-8"),
        (TEXT.replace("NAME", "b").replace("target", "traget").encode(), "unknown key 'data.traget'"),
        (TEXT.replace("NAME", "a").encode(), "model: 'a' is that of a.yaml, too"),
        (b"", "empty, allowed: a mapping"),
    ],
    ids=["key twice", "Latin-1", "unknown key", "a model of two files", "empty"],
)
def test_broken_file_is_named_in_the_log_and_the_other_models_are_built(folder, caplog, text, named):
    (folder / "b.yaml").write_bytes(text)
    with caplog.at_level(logging.ERROR):
        assert ids(dags_from_folder(folder)) == {"a", "c"}
    (record,) = caplog.records
    assert "b.yaml: " in record.message
    assert named in record.message


def test_error_that_nobody_foresaw_takes_no_other_model_away(folder, caplog, monkeypatch):
    from airflow_mlops.dag_factories import model

    build = model.model_dags
    monkeypatch.setattr(model, "model_dags", lambda config: build(config) if config.model == "a" else 1 / 0)
    assert ids(dags_from_folder(folder)) == {"a"}
    assert "c.yaml" in caplog.text


def test_schemas_and_other_files_beside_the_models_are_not_models(folder, caplog):
    (folder / "a.schema.yaml").write_text("name: s\n")
    (folder / "notes.txt").write_text("x")
    assert ids(dags_from_folder(folder)) == {"a", "c"}
    assert caplog.text == ""


def test_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InvalidConfigError, match="none: no such folder"):
        dags_from_folder(tmp_path / "none")
