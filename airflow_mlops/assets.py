"""Assets that connect the DAGs of a model; together they close the loop.

``data`` starts training and monitoring of a partition; training emits a ``challenger``, which starts its
rollout; the rollout emits the new ``champion``; monitoring emits a ``retraining`` request, which starts
training. Every event carries a partition key (the data's partition, or the model's version), so that each
starts its own run and a repeated event changes nothing.

The URI scheme begins with ``x-``, which Airflow does not resolve. For any other scheme it loads the URI
handlers of all providers; Google's, for instance, imports its storage client in every task that parses the
file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import Asset

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.sdk import Context


def data_asset(model: str) -> Asset:
    """Return the asset whose partitions are new data of a model; partition key: the data's."""
    return _asset(model, "data")


def challenger_asset(model: str) -> Asset:
    """Return the asset of versions that passed validation; partition key: the version."""
    return _asset(model, "challenger")


def champion_asset(model: str) -> Asset:
    """Return the asset of versions that were promoted; partition key: the version."""
    return _asset(model, "champion")


def retraining_asset(model: str) -> Asset:
    """Return the asset of requests to retrain; partition key: the data's; extra: trigger and reason."""
    return _asset(model, "retraining")


def _asset(model: str, kind: str) -> Asset:
    return Asset(name=f"mlops/{model}/{kind}", uri=f"x-mlops://{model}/{kind}", group="mlops")


def announce(context: Context, assets: Iterable[Asset], keys: Iterable[str]) -> None:
    """Add partitions to the running task's events of its outlets; they are handed over in this order."""
    ordered = list(dict.fromkeys(keys))
    for asset in assets:
        event = context["outlet_events"][asset]
        event.add_partitions(ordered)
        event.partition_keys = ordered  # Airflow collects a set, which has no order
