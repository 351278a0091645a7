from __future__ import annotations

import pytest
from fakes.remote_serving import kserve
from serving_contract import ME


@pytest.fixture
def serve(tmp_path):
    """Factory of KServe back ends with version 1 stable and version 2 as canary at 0 %."""
    opened = []

    def make(mode, *, canary=True):
        context = kserve(mode)
        backend = context.__enter__()
        opened.append(context)
        backend.claim("demo", ME)
        backend.deploy("demo", "1", tmp_path, holder=ME)
        backend.promote("demo", "1", holder=ME)
        backend.clean_up("demo", holder=ME)
        if canary:
            backend.deploy("demo", "2", tmp_path, holder=ME)
        return backend

    yield make
    for context in opened:
        context.__exit__(None, None, None)
