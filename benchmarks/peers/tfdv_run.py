"""TensorFlow Data Validation: statistics of two windows, schema, drift; prints what it found.

Runs in an environment of its own. It has no default thresholds for drift: 0.05 for every column,
Jensen-Shannon for numbers, L-infinity for categories.
"""

from __future__ import annotations

import json
import sys

import pandas as pd
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

THRESHOLD = 0.05


def main(reference: str, current: str) -> None:
    """Profile two parquet files, validate the second against the first, print what drifted."""
    before = tfdv.generate_statistics_from_dataframe(pd.read_parquet(reference))
    now = tfdv.generate_statistics_from_dataframe(pd.read_parquet(current))
    schema = tfdv.infer_schema(before)
    for feature in schema.feature:
        _watch(feature)
    found = tfdv.validate_statistics(now, schema, previous_statistics=before)
    drifted = sorted(name for name, anomaly in found.anomaly_info.items() if _is_drift(anomaly))
    print(json.dumps({"columns": len(schema.feature), "drifted": drifted}))


def _watch(feature: schema_pb2.Feature) -> None:
    if feature.type == schema_pb2.BYTES:
        feature.drift_comparator.infinity_norm.threshold = THRESHOLD
    else:
        feature.drift_comparator.jensen_shannon_divergence.threshold = THRESHOLD


def _is_drift(anomaly: anomalies_pb2.AnomalyInfo) -> bool:
    names = [anomalies_pb2.AnomalyInfo.Type.Name(reason.type) for reason in anomaly.reason]
    return any("COMPARATOR" in name for name in names)


if __name__ == "__main__":
    main(*sys.argv[1:])
