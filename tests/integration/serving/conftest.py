from __future__ import annotations

import pytest
from local_serving import light_serving


@pytest.fixture
def serving(tmp_path, monkeypatch):
    """A real gateway whose model servers are light; nothing of it is left afterwards."""
    with light_serving(tmp_path / "serving", monkeypatch) as backend:
        yield backend
