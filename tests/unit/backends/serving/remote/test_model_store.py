from __future__ import annotations

import pytest

from airflow_mlops.backends.serving.remote.model_store import ModelStore
from airflow_mlops.backends.serving.remote.state import Release
from airflow_mlops.core.errors import InvalidConfigError, InvalidDataError, ModelReplacedError


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    (folder / "data").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}")
    (folder / "data" / "model.bin").write_bytes(b"weights")
    return folder


def test_model_is_copied_once_and_its_last_file_says_that_all_are_there(model, tmp_path):
    store = ModelStore(f"file://{tmp_path}/store/{{endpoint}}/{{version}}", upload=True)
    target = tmp_path / "store" / "demo" / "1"
    target.mkdir(parents=True)
    (target / "data").mkdir()
    (target / "data" / "model.bin").write_bytes(b"half")  # of an upload that died
    assert store.publish("demo", "1", model) == Release(version="1", source=f"file://{target}")
    assert (target / "data" / "model.bin").read_bytes() == b"weights"
    (model / "data" / "model.bin").write_bytes(b"other")
    store.publish("demo", "1", model)
    assert (target / "data" / "model.bin").read_bytes() == b"weights"


def test_another_model_under_the_same_version_is_refused(model, tmp_path):
    store = ModelStore(f"file://{tmp_path}/store/{{endpoint}}/{{version}}", upload=True)
    store.publish("demo", "1", model)
    (model / "MLmodel").write_text("flavors: {}\nmodel_uuid: 2\n")
    with pytest.raises(ModelReplacedError, match=r"store/demo/1: version 1 is another model"):
        store.publish("demo", "1", model)
    assert (tmp_path / "store" / "demo" / "1" / "MLmodel").read_text() == "flavors: {}"


def test_folder_without_a_model_is_not_copied(tmp_path):
    store = ModelStore(f"file://{tmp_path}/store/{{endpoint}}/{{version}}", upload=True)
    with pytest.raises(InvalidDataError, match="no MLflow model"):
        store.publish("demo", "1", tmp_path)
    assert not (tmp_path / "store").exists()


def test_versions_are_found_in_locations_and_others_are_not():
    store = ModelStore("s3://models/{endpoint}/{version}/model")
    assert store.version_at("demo", "s3://models/demo/12/model") == "12"
    assert store.version_at("other", "s3://models/demo/12/model") == "s3://models/demo/12/model"


@pytest.mark.parametrize(
    "template", ["s3://models", "s3://{model}/{version}", "s3://{version", "{0}/{version}"]
)
def test_location_that_cannot_be_filled_in_is_refused(template):
    with pytest.raises(InvalidConfigError, match="allowed: a text with"):
        ModelStore(template)


@pytest.mark.parametrize("version", ["", "../1", "a/b", "x" * 65])
def test_version_that_cannot_be_part_of_a_location_is_refused(version):
    with pytest.raises(InvalidConfigError, match="are allowed"):
        ModelStore("s3://models/{version}").release("demo", version)
