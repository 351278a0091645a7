"""Profile engines for tests: rows are put into a database and profiled there."""

from __future__ import annotations

from contextlib import contextmanager

import postgres_server
import pyarrow.parquet as pq

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.backends.profiling.tables.sql import profile_relation


class ArrowEngine:
    def profile(self, table, **more):
        return profile_table(table, **more)


class Database:
    """An engine that profiles a table of a database; ``keep`` puts rows into it."""

    def __init__(self, connection, keep, url=""):
        self.connection, self.keep, self.url, self.kept = connection, keep, url, 0

    def profile(self, table, **more):
        self.kept += 1
        return profile_relation(self.keep(f"rows {self.kept}", table), **more)


@contextmanager
def open_duckdb(folder=None):
    """Yield DuckDB in memory; tables are parquet files in ``folder`` if one is given."""
    import ibis

    connection = ibis.duckdb.connect()

    def keep(name, table):
        if folder:
            pq.write_table(table, folder / name, row_group_size=500)
            return connection.read_parquet(folder / name, table_name=name)
        connection.con.register("given", table)
        connection.raw_sql(f'CREATE TABLE "{name}" AS SELECT * FROM given')  # noqa: S608 - our own name
        return connection.table(name)

    yield Database(connection, keep)
    connection.disconnect()


@contextmanager
def open_postgres():
    """Yield a Postgres server of our own."""
    import ibis

    with postgres_server.run_postgres(postgres_server.find_binaries()) as url:
        connection = ibis.connect(url)

        def keep(name, table):
            postgres_server.load(url, name, table)
            return connection.table(name)

        yield Database(connection, keep, url)
        connection.disconnect()


@contextmanager
def open_spark(folder):
    """Yield a local Spark session whose Java lives in another time zone."""
    import ibis
    from pyspark.sql import SparkSession

    java = [
        "-Duser.timezone=America/New_York",
        f"-Dderby.system.home={folder}",
        "-XX:TieredStopAtLevel=1",  # what is compiled here runs once
    ]
    options = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",  # compiling takes longer than few rows
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.driver.extraJavaOptions": " ".join(java),
    }
    session = SparkSession.builder.master("local[2]").config(map=options).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    connection = ibis.pyspark.connect(session)

    def keep(name, table):
        path = folder / name.replace(" ", "_")
        pq.write_table(table, path)
        return connection.read_parquet(path, table_name=path.name)

    yield Database(connection, keep)
    session.stop()
