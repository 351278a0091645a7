"""How errors of this package become Airflow's task states."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_mlops.backends.serving.denials import repeating_denied
from airflow_mlops.core.errors import (
    AccessDeniedError,
    EndpointBusyError,
    PermanentError,
    ServiceUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def fail_fast() -> Iterator[None]:
    """Turn errors that a retry cannot fix into Airflow's failure without retry."""
    try:
        yield
    except PermanentError as error:
        raise AirflowFailException(str(error)) from error


@contextmanager
def fail_fast_unless_denied() -> Iterator[None]:
    """Do the same, but let a denied call pass for a while, and leave the rest to Airflow's retries.

    For every task of a rollout but the first, which found out whether its rights suffice: later a denial
    mostly means that an API server has just started.
    """
    with fail_fast(), repeating_denied():
        try:
            yield
        except AccessDeniedError as error:
            raise ServiceUnavailableError(str(error)) from error


@contextmanager
def skip_what_is_not_mine(version: str) -> Iterator[None]:
    """Turn the refusal of an endpoint that another rollout holds into a skipped task: nothing was done.

    :param version: that the rollout deployed; empty: none was named, so there is nothing to end either.
    """
    if not version:
        msg = "no version was named: none was deployed, and nothing was changed"
        raise AirflowSkipException(msg)
    try:
        yield
    except EndpointBusyError as error:
        msg = f"not mine: {error}; nothing was changed"
        raise AirflowSkipException(msg) from error
