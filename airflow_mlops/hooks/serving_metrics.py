"""Metrics source of a rollout, from the extras of a serving connection."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, cast

from airflow_mlops.core.did_you_mean import did_you_mean
from airflow_mlops.core.errors import InvalidConfigError, InvalidRecordError
from airflow_mlops.core.rollout.plan import RolloutMetric
from airflow_mlops.hooks.serving_backends import LocalExtra

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Engine

    from airflow_mlops.backends.metrics.protocol import MetricsSource
    from airflow_mlops.backends.serving.local.backend import LocalServing
    from airflow_mlops.backends.serving.protocol import ServingBackend
    from airflow_mlops.backends.serving.remote.backend import RemoteServing
    from airflow_mlops.hooks.serving_backends import PrometheusExtra, ServingExtra

TABLE_ADDS = "; extra 'inference_table' instead measures what its columns say"
_LOCAL_MEASURES = {RolloutMetric.ERRORS, RolloutMetric.CLIENT_ERRORS, RolloutMetric.LATENCY}
_DELAYS = ("settle_seconds", "late_seconds")
_DRIVERS = {"postgres": "postgresql+psycopg"}


def metrics_of(
    extra: ServingExtra,
    backend: ServingBackend,
    endpoint: str,
    wanted: Collection[RolloutMetric] = (),
    optional: Collection[RolloutMetric] = (),
) -> MetricsSource | None:
    """Return where an endpoint's requests are counted; ``None`` where its gateway counts them itself.

    :param wanted: the metrics of a plan.
    :param optional: metrics that are measured if the source can.
    :raises InvalidConfigError: an unknown or a missing key of ``inference_table``; a metric that is not
        measured.
    """
    prometheus = None if isinstance(extra, LocalExtra) else extra.prometheus
    if extra.inference_table:
        if prometheus:
            msg = "extras 'prometheus' and 'inference_table' are both given; allowed: one of them"
            raise InvalidConfigError(msg)
        found = _inference_table(extra.inference_table)
        _require(found.measures, wanted, "extra 'inference_table'", "; its columns say what it measures")
        return found
    if isinstance(extra, LocalExtra):
        _require(_LOCAL_MEASURES, wanted, "back end 'local'", TABLE_ADDS)
        more = (_LOCAL_MEASURES - {RolloutMetric.ERRORS}).intersection((*wanted, *optional))
        return _local(backend, endpoint) if more else None
    if prometheus is None:
        hint = "; extra 'prometheus' or 'inference_table' says where requests are counted"
        _require(set(), wanted, f"back end {extra.backend!r} without 'prometheus'", hint)
        return None
    source = _prometheus(prometheus, backend, endpoint)
    hint = "" if prometheus.fast else "; its key 'fast' adds latency"
    _require(source.measures, wanted, "extra 'prometheus'", hint + TABLE_ADDS)
    return source


def _local(backend: ServingBackend, endpoint: str) -> MetricsSource:
    from airflow_mlops.backends.serving.local.metrics import LocalMetrics

    return LocalMetrics(cast("LocalServing", backend), endpoint)


def _prometheus(extra: PrometheusExtra, backend: ServingBackend, endpoint: str) -> MetricsSource:
    from airflow_mlops.backends.metrics.prometheus import PrometheusMetrics, PrometheusSelectors
    from airflow_mlops.backends.metrics.version_labels import VersionLabelMetrics

    selectors = PrometheusSelectors(requests=extra.requests, errors=extra.errors, fast=extra.fast)
    source = PrometheusMetrics(extra.url, selectors, headers=extra.headers)
    return VersionLabelMetrics(source, lambda: cast("RemoteServing", backend).labels(endpoint))


def _inference_table(given: dict[str, Any]) -> MetricsSource:
    from airflow_mlops.backends.metrics.inference_table import InferenceTable, InferenceTableMetrics

    known = {each.name for each in fields(InferenceTable)}
    if unknown := sorted(set(given) - known - {"conn_id", "driver", *_DELAYS}):
        msg = f"unknown key 'inference_table.{unknown[0]}'; one of: {', '.join(sorted(known))}"
        raise InvalidConfigError(msg + did_you_mean(unknown[0], known))
    if not {"conn_id", "table"} <= set(given):
        msg = f"extra 'inference_table' has {sorted(given)}; needed: conn_id, table"
        raise InvalidConfigError(msg)
    try:
        columns = InferenceTable.from_json({key: given[key] for key in known & set(given)})
    except InvalidRecordError as error:
        msg = f"extra 'inference_table': {error}"
        raise InvalidConfigError(msg) from error
    engine = _engine(given["conn_id"], given.get("driver"))
    delays = {name: float(given[name]) for name in _DELAYS if name in given}
    return InferenceTableMetrics(engine, columns, **delays)


def _engine(conn_id: str, driver: str | None) -> Engine:
    """Return an engine that keeps no connection open between two windows."""
    import sqlalchemy as sa
    from airflow.sdk import BaseHook

    connection = BaseHook.get_connection(conn_id)
    kind, port = str(connection.conn_type), connection.port
    if kind == "sqlite":
        url = sa.URL.create(kind, database=connection.host)
    else:
        login, secret = connection.login, connection.password
        name = driver or _DRIVERS.get(kind, kind)
        url = sa.URL.create(name, login, secret, connection.host, port, connection.schema)
    try:
        return sa.create_engine(url, poolclass=sa.NullPool)
    except (sa.exc.ArgumentError, ImportError) as error:
        msg = f"inference_table.conn_id: connection {conn_id!r} of type {kind!r}: {error}"
        raise InvalidConfigError(msg) from error


def _require(
    measured: Collection[RolloutMetric], wanted: Collection[RolloutMetric], who: str, hint: str = ""
) -> None:
    """Refuse a plan with a metric that is not measured.

    :raises InvalidConfigError: names the metric, the source, and what it measures.
    """
    for metric in wanted:
        if metric not in measured:
            allowed = ", ".join(sorted(measured)) or "none"
            msg = f"rollout.metrics: {str(metric)!r} is not measured by {who}, allowed: {allowed}{hint}"
            raise InvalidConfigError(msg)
