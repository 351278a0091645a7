from __future__ import annotations

import pytest

from airflow_mlops.core.nouns import with_noun


@pytest.mark.parametrize(("number", "said"), [(0, "0 changes"), (1, "1 change"), (2, "2 changes")])
def test_one_is_singular(number, said):
    assert with_noun(number, "change") == said
