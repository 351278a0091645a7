"""How errors of this package become Airflow's task states."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowFailException

from airflow_mlops.core.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def fail_fast() -> Iterator[None]:
    """Turn errors that a retry cannot fix into Airflow's failure without retry."""
    try:
        yield
    except PermanentError as error:
        raise AirflowFailException(str(error)) from error
