from __future__ import annotations

import json

import fsspec
import pytest
from airflow.sdk import BaseHook
from airflow.sdk.io import fs as airflow_fs
from airflow.sdk.io import store as airflow_store
from fsspec.implementations.memory import MemoryFileSystem


class Bucket(MemoryFileSystem):
    """Memory that is addressed as S3 is."""

    protocol = "s3"

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix("s3://"))


@pytest.fixture
def bucket(monkeypatch):
    """A scheme as a provider brings it: its file system needs the password of an Airflow connection."""

    def connect(conn_id, options):
        assert BaseHook.get_connection(conn_id).password == "hush"
        return Bucket()

    monkeypatch.setenv("AIRFLOW_CONN_LAKE", json.dumps({"conn_type": "aws", "password": "hush"}))
    monkeypatch.setitem(airflow_fs._BUILTIN_SCHEME_TO_FS, "s3", connect)
    monkeypatch.setattr(airflow_store, "_STORE_CACHE", {})
    airflow_fs._register_filesystems.cache_clear()
    memory = fsspec.filesystem("memory")
    memory.pipe_file("bucket/schema.yaml", b"name: m")
    yield memory
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    airflow_fs._register_filesystems.cache_clear()
