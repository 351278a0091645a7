"""How errors of this package become Airflow's task states."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from airflow_mlops.core.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LEAST_RETRIES = 2


@contextmanager
def fail_fast() -> Iterator[None]:
    """Turn errors that a retry cannot fix into Airflow's failure without retry."""
    try:
        yield
    except PermanentError as error:
        raise AirflowFailException(str(error)) from error


def retries_of_a_question(retries: int, given: Mapping[str, Any]) -> int:
    """Return how often a task that asks a person is tried again: twice at least, unless its author says so.

    Airflow may drop an answer, and that must not fail the run.

    :param given: arguments of the operator.
    """
    if "retries" in (given.get("default_args") or {}) | dict(given):
        return retries
    return max(retries, LEAST_RETRIES)
