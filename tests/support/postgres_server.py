"""A real Postgres server on 127.0.0.1 for tests, run by a user without rights since it refuses root."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pyarrow as pa
from processes import until

TYPES = {
    "double": "double precision",
    "float": "real",
    "int8": "smallint",
    "int16": "smallint",
    "int32": "integer",
    "int64": "bigint",
    "string": "text",
    "bool": "boolean",
    "date32[day]": "date",
    "timestamp[us]": "timestamp",
    "timestamp[us, tz=UTC]": "timestamptz",
    "binary": "bytea",
    "null": "double precision",
}


def find_binaries() -> Path | None:
    """Return the folder of the newest server that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@contextmanager
def run_postgres(binaries: Path):
    """Yield the URL of a new, empty server; stopped by its process id at the end."""
    folder = Path(tempfile.mkdtemp(prefix="airflow-mlops-postgres-"))
    who = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "data"
    command = [
        binaries / "initdb",
        "-D",
        data,
        "-U",
        "tester",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
    ]
    subprocess.run(command, check=True, capture_output=True, cwd=folder, **who)
    options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
    command = [binaries / "postgres", "-D", data, "-p", str(port)]
    command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **who)
    try:
        url = f"postgresql://tester@127.0.0.1:{port}/postgres"
        until(lambda: _answers(url, server, folder / "log"), "Postgres", 30, pause=0.1)
        yield url
    finally:
        server.send_signal(signal.SIGINT)  # whoever is still connected is cut off
        server.wait(30)
        shutil.rmtree(folder)


@contextmanager
def airflow_database():
    """Yield the variables that put Airflow on a new server; none where Postgres is not installed: SQLite."""
    binaries = find_binaries()
    if binaries is None:
        yield {}
        return
    with run_postgres(binaries) as url:
        url = url.replace("postgresql://", "postgresql+psycopg://")
        prefix = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
        yield {prefix: url, f"{prefix}_ASYNC": url}  # asyncpg need not be there


def _answers(url, server, log):
    try:
        psycopg.connect(url, connect_timeout=1).close()
    except psycopg.OperationalError:
        assert server.poll() is None, log.read_text()
        return False
    return True


def load(url: str, name: str, table: pa.Table) -> None:
    """Create a table and copy rows into it."""
    kinds = (f"{_quoted(f.name)} {TYPES.get(str(f.type)) or _decimal(f.type)}" for f in table.schema)
    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(f'CREATE TABLE "{name}" ({", ".join(kinds)})')
        with cursor.copy(f'COPY "{name}" FROM STDIN') as copy:
            for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
                copy.write_row(row)


def _quoted(name):
    return '"' + name.replace('"', '""') + '"'


def _decimal(kind):
    assert pa.types.is_decimal(kind), kind
    return f"numeric({kind.precision},{kind.scale})"
