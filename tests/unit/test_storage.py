from __future__ import annotations

import pytest

from airflow_mlops.core.errors import InvalidConfigError, MissingDependencyError
from airflow_mlops.hooks.storage import filesystem_of, path_of, read_text, write_text


@pytest.mark.parametrize("uri", ["/lake/churn", "relative", "file:///lake/churn"])
def test_local_path_needs_no_file_system(uri):
    assert filesystem_of(uri) is None


def test_credentials_come_from_the_connection_before_the_at_sign(bucket):
    assert read_text("s3://lake@bucket/schema.yaml") == "name: m"
    write_text("s3://lake@bucket/schema.yaml", "name: n")
    assert bucket.cat_file("bucket/schema.yaml") == b"name: n"


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("s3://lake@bucket/a/b", "bucket/a/b"),
        ("gs://bucket/a/b/", "bucket/a/b/"),
        ("file:///a%20b", "/a b"),
        ("/a b", "/a b"),
    ],
)
def test_path_on_the_file_system_holds_neither_scheme_nor_connection(uri, path):
    assert path_of(uri) == path


def test_memory_is_a_file_system_too(bucket):
    assert read_text("memory://bucket/schema.yaml") == "name: m"


def test_connection_that_is_not_there_is_named(bucket):
    with pytest.raises(InvalidConfigError, match=r"s3://nobody@bucket/x: .*nobody"):
        filesystem_of("s3://nobody@bucket/x")


def test_scheme_without_its_provider_says_what_to_install():
    with pytest.raises(MissingDependencyError, match=r"scheme 's3'.*apache-airflow-providers-amazon\[s3fs\]"):
        filesystem_of("s3://bucket/x")


def test_password_in_a_uri_is_refused_and_not_repeated():
    with pytest.raises(InvalidConfigError, match="holds a password") as caught:
        filesystem_of("s3://key:secret@bucket/x")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("uri", ["memory://nowhere/x.yaml", "/nowhere/x.yaml"])
def test_text_file_that_is_not_there_is_named(bucket, uri):
    with pytest.raises(InvalidConfigError, match=r"nowhere/x\.yaml: no such text file"):
        read_text(uri)


def test_text_is_written_where_the_uri_says(tmp_path):
    write_text(f"file://{tmp_path}/schema.yaml", "name: é")
    assert read_text(f"{tmp_path}/schema.yaml") == "name: é"
