"""The assets DAGs hand over to each other: read it to see the loop close.

``data`` starts training and monitoring of a partition; training announces a ``challenger``, which starts
its rollout; the rollout announces the new ``champion``; monitoring announces a ``retraining`` request,
which starts training. Every event carries a partition key (the data's partition, or the model's version),
so each starts a run of its own and a repeated event changes nothing.

The scheme begins with ``x-``, which Airflow leaves as it is. For any other it asks all providers how to read
it: where Google's is installed, that imports the client of its storage in every task that parses the file.
"""

from __future__ import annotations

from airflow.sdk import Asset


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
