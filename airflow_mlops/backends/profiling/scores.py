"""Profiles of a model's scores: what it promised in training, what it answered in production."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from airflow_mlops.backends.profiling.files.arrow import profile_table

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from airflow_mlops.core.data.profile.profile import Profile

SCORE_COLUMN = "prediction"


def profile_scores(scores: ArrayLike, bins_from: Profile | None = None) -> Profile:
    """Return the profile of scores, shape ``(n_rows,)``, as a column ``prediction``.

    :param bins_from: the scores they are to be compared with.
    """
    column = pa.array(np.asarray(scores, dtype=float))
    return profile_table(pa.table({SCORE_COLUMN: column}), bins_from=bins_from)
