"""Extras of a serving connection turned into the source of a rollout's counts, and what it can measure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.rollout.plan import Metric

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_mlops.backends.metrics.protocol import MetricsSource
    from airflow_mlops.backends.serving.local import LocalServing
    from airflow_mlops.backends.serving.protocol import ServingBackend
    from airflow_mlops.backends.serving.remote import RemoteServing

Extra = dict[str, Any]
LOCAL = "local"
PROMETHEUS = {"url", "requests", "errors", "fast", "headers"}


def metrics_of(
    extra: Extra, backend: ServingBackend, endpoint: str, wanted: Collection[Metric] = ()
) -> MetricsSource | None:
    """Return where an endpoint's requests are counted; ``None`` where its gateway counts them itself.

    :param wanted: what a plan watches.
    :raises InvalidConfigError: an unknown or a missing key of ``prometheus``; a metric that nobody measures.
    """
    if extra["backend"] == LOCAL:
        _require({Metric.ERRORS, Metric.LATENCY}, wanted, "back end 'local'")
        return _local(backend, endpoint) if Metric.LATENCY in wanted else None
    given = dict(extra.get("prometheus") or {})
    if not given:
        hint = "; extra 'prometheus' says where requests are counted"
        _require(set(), wanted, f"back end {extra['backend']!r} without 'prometheus'", hint)
        return None
    source = _prometheus(given, backend, endpoint)
    hint = "" if "fast" in given else "; 'fast' in extra 'prometheus' adds latency"
    _require(source.measures, wanted, "extra 'prometheus'", hint)
    return source


def _local(backend: ServingBackend, endpoint: str) -> MetricsSource:
    from airflow_mlops.backends.serving.local_metrics import LocalMetrics

    return LocalMetrics(cast("LocalServing", backend), endpoint)


def _prometheus(given: dict[str, Any], backend: ServingBackend, endpoint: str) -> MetricsSource:
    from airflow_mlops.backends.metrics.prometheus import PrometheusMetrics, PrometheusSelectors
    from airflow_mlops.backends.serving.labelled_metrics import LabelledMetrics

    if set(given) - PROMETHEUS or not {"url", "requests", "errors"} <= set(given):
        msg = f"extra 'prometheus' has {sorted(given)}; allowed: url, requests, errors, and fast, headers"
        raise InvalidConfigError(msg)
    selectors = {name: text for name, text in given.items() if name not in ("url", "headers")}
    source = PrometheusMetrics(given["url"], PrometheusSelectors(**selectors), headers=given.get("headers"))
    return LabelledMetrics(source, lambda: cast("RemoteServing", backend).labels(endpoint))


def _require(measured: Collection[Metric], wanted: Collection[Metric], who: str, hint: str = "") -> None:
    """Refuse a plan that watches what nobody measures.

    :raises InvalidConfigError: names the metric, who does not measure it, and what is measured.
    """
    for metric in wanted:
        if metric not in measured:
            allowed = ", ".join(sorted(measured)) or "none"
            msg = f"rollout.metrics: {str(metric)!r} is not measured by {who}, allowed: {allowed}{hint}"
            raise InvalidConfigError(msg)
