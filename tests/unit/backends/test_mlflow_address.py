"""Addresses of MLflow as people write them."""

from __future__ import annotations

import sqlite3

import pytest

from airflow_mlops.backends.mlflow_address import read_address, require_database, with_port
from airflow_mlops.core.errors import InvalidConfigError, ServiceUnavailableError


@pytest.mark.parametrize(
    ("host", "port", "uri"),
    [
        ("mlflow", None, "http://mlflow"),
        ("mlflow", 5000, "http://mlflow:5000"),
        ("mlflow.example.org/ml", 8080, "http://mlflow.example.org:8080/ml"),
        ("https://mlflow.example.org/ml/", 443, "https://mlflow.example.org:443/ml/"),
        ("http://mlflow.example.org:5000", 5000, "http://mlflow.example.org:5000"),
        ("http://mlflow.example.org:5000/ml", None, "http://mlflow.example.org:5000/ml"),
        ("::1", 5000, "http://[::1]:5000"),
        ("http://[::1]", 5000, "http://[::1]:5000"),
        ("http://ann:secret@mlflow", 5000, "http://ann:secret@mlflow:5000"),
        ("postgresql.example.org", 5000, "http://postgresql.example.org:5000"),
        ("postgresql+psycopg://db/mlflow", 5432, "postgresql+psycopg://db/mlflow"),
        ("sqlite:///mlflow.db", None, "sqlite:///mlflow.db"),
    ],
)
def test_port_goes_to_the_host_wherever_a_path_follows(host, port, uri):
    assert with_port(host, port) == uri


def test_two_ports_are_refused():
    with pytest.raises(InvalidConfigError, match="host names port 5000, port is 5001; allowed: one of them"):
        with_port("http://mlflow:5000", 5001)


@pytest.mark.parametrize(
    ("text", "shown", "username", "password"),
    [
        ("http://ann:s%40cret@mlflow:5000/ml/", "http://mlflow:5000/ml", "ann", "s@cret"),
        ("https://mlflow/#/experiments/3", "https://mlflow", "", ""),
        ("HTTP://mlflow", "http://mlflow", "", ""),
        ("http://mlflow?token=secret", "http://mlflow", "", ""),
        ("postgresql+psycopg://ann:secret@db:5432/ml", "postgresql+psycopg://ann:***@db:5432/ml", "", ""),
        ("postgresql://db/ml?password=secret", "postgresql://db/ml", "", ""),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db", "", ""),
    ],
)
def test_what_is_secret_is_never_shown(text, shown, username, password):
    address = read_address(text)
    assert (address.shown, address.username, address.password) == (shown, username, password)
    assert "secret" not in repr(address)
    assert "s@cret" not in repr(address)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("file:///mlruns", "scheme 'file', allowed: http or https"),
        ("./mlruns", "without a scheme"),
        ("ftp://ann:secret@host", "scheme 'ftp'"),
        ("ann:secret@mlflow:5000", "allowed: http or https"),
        ("http://", "without a host"),
        ("http://mlflow:port", "with a port that is no number"),
        ("postgresql://ann:secret@host:port/db", "is no database's"),
    ],
)
def test_other_addresses_are_refused_without_repeating_a_secret(text, named):
    with pytest.raises(InvalidConfigError, match=named) as caught:
        read_address(text)
    assert "secret" not in str(caught.value)


def test_reader_makes_no_database(tmp_path):
    absent = tmp_path / "absent.db"
    with pytest.raises(InvalidConfigError, match=r"absent\.db: no such file"):
        require_database(read_address(f"sqlite:///{absent}"), create=False)
    assert not absent.exists()
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("create table mine (x)")
    with pytest.raises(InvalidConfigError, match="a database without MLflow's tables"):
        require_database(read_address(f"sqlite:///{other}"), create=False)
    require_database(read_address(f"sqlite:///{other}"), create=True)


@pytest.mark.parametrize("create", [True, False], ids=["writer", "reader"])
def test_file_that_is_no_database_is_named(tmp_path, create):
    (tmp_path / "notes.db").write_text("notes " * 200)
    with pytest.raises(InvalidConfigError, match=r"notes\.db cannot be read: file is not a database"):
        require_database(read_address(f"sqlite:///{tmp_path}/notes.db"), create=create)


def test_database_that_is_down_is_named_at_once_without_its_password():
    with pytest.raises(
        ServiceUnavailableError, match=r"ann:\*\*\*@127\.0\.0\.1:9/db does not answer"
    ) as caught:
        require_database(read_address("postgresql+psycopg://ann:secret@127.0.0.1:9/db"), create=True)
    assert "secret" not in str(caught.value)
