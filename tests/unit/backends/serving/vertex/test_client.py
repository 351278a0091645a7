from __future__ import annotations

from types import SimpleNamespace

import pytest
from fakes.remote_serving import ENDPOINT

from airflow_mlops.backends.serving.remote.retry import RefusedError


def test_googles_own_errors_become_refusals():
    exceptions = pytest.importorskip("google.api_core.exceptions")
    from airflow_mlops.backends.serving.vertex.client import GoogleEndpoints

    def raising(error):
        def call(**_):
            raise error

        return GoogleEndpoints(SimpleNamespace(get_endpoint=call))

    for error, status in (
        (exceptions.TooManyRequests("slow"), 429),
        (exceptions.Aborted("etag"), 409),
        (exceptions.NotFound("gone"), 404),
        (exceptions.RetryError("late", None), 0),
    ):
        with pytest.raises(RefusedError) as refused:
            raising(error).get(ENDPOINT)
        assert refused.value.status == status
