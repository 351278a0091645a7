from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from airflow_mlops.backends.validation.rows import labels_among


@pytest.mark.parametrize(
    ("target", "classes", "places"),
    [
        (["b", "a", "c", None], ("a", "b"), [1, 0, np.nan, np.nan]),
        ([2.0, 1.0, 7.0], ("1", "2"), [1, 0, np.nan]),
        ([1234567, 1234568], ("1234567", "1234568"), [0, 1]),
        ([True, False], ("0", "1"), [1, 0]),
        ([0.5, 2.0], (), [0.5, 2.0]),
        (["yes", "no"], (), [np.nan, np.nan]),
        ([1, 2], ("a", "b"), [np.nan, np.nan]),
    ],
)
def test_labels_get_the_places_that_training_gave_them(target, classes, places):
    np.testing.assert_array_equal(labels_among(pd.Series(target), classes), places)
