from __future__ import annotations

import pytest

from airflow_mlops.core.counted import counted


@pytest.mark.parametrize(("number", "said"), [(0, "0 changes"), (1, "1 change"), (2, "2 changes")])
def test_one_is_singular(number, said):
    assert counted(number, "change") == said
