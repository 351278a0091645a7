"""Labels of requests: each joined to what was logged under its request id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from airflow_mlops.backends.columns.canonical import canonical, is_missing

if TYPE_CHECKING:
    from collections.abc import Sequence

_ID, _LABEL, _ENTITY = "request_id", "label", "entity"


@dataclass(frozen=True, slots=True)
class RequestLabels:
    """Labels by request id, ids in canonical form, so that 7, 7.0 and "7" are one request.

    :param ids: every request id, once.
    :param labelled: ``request_id`` and ``label``, in canonical form too, of requests that have one; the last
        of several. With ``entity``, a code, if its columns are given.
    :param rows: of the table; ``without_id``: rows left out because their id is null; ``repeated``: rows
        left out because a later one has their id.
    """

    ids: frozenset[str]
    labelled: pd.DataFrame
    rows: int
    without_id: int
    repeated: int

    @classmethod
    def of(cls, table: pa.Table, key: str, target: str, entity: Sequence[str] = ()) -> RequestLabels:
        """Read the labels of a table.

        :param entity: columns that say whose request it is.
        """
        ids = pd.Series(canonical(table[key]).to_pylist(), dtype=object)
        places = pd.Series(range(len(ids)))
        known = ids.notna() & ~pd.Series(is_missing(table[target]))
        last = places[known & ~ids.where(known).duplicated(keep="last")]
        labels = canonical(table[target]).take(pa.array(last))
        labelled = pd.DataFrame({_ID: ids[last], _LABEL: labels.to_pylist()}, dtype=object)
        if entity:
            whose = table.select(list(dict.fromkeys(entity))).to_pandas()
            codes = whose.groupby(list(whose), dropna=False, sort=False).ngroup()
            labelled[_ENTITY] = codes.to_numpy()[last]
        return cls(
            ids=frozenset(ids.dropna()),
            labelled=labelled,
            rows=len(ids),
            without_id=int(ids.isna().sum()),
            repeated=int(ids.dropna().duplicated().sum()),
        )

    def joined(self, answered: pd.DataFrame) -> pd.DataFrame:
        """Return the answers to labelled requests, with a column ``label``."""
        return answered.merge(self.labelled, on=_ID)

    def without(self, answered: pd.DataFrame) -> pd.DataFrame:
        """Return the answers to requests that have no label."""
        return answered[~answered[_ID].isin(set(self.labelled[_ID]))]

    def remarks(self) -> list[str]:
        """Return what a reader should know of rows that are left out."""
        found = []
        if self.without_id:
            found.append(f"{self.without_id} of {self.rows} rows have no request id and are left out")
        if self.repeated:
            found.append(f"{self.repeated} of {self.rows} rows repeat a request id: its last label counts")
        return found
