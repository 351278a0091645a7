"""OpenLineage facets of the dataset a data task read: schema, statistics, assertions.

The client and Airflow's provider are optional and imported only when an event is created.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_mlops.core.data.window import Window
from airflow_mlops.core.verdict import Outcome, Severity, Verdict
from airflow_mlops.hooks.storage import is_local, path_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.generated.data_quality_metrics_input_dataset import ColumnMetrics

    from airflow_mlops.core.data.profile.column import Column
    from airflow_mlops.core.data.profile.profile import Profile  # noqa: TC004 - at run time it would load numpy while DAGs are parsed
    from airflow_mlops.core.verdict import Finding

_SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
_MOST_COLUMNS = 1000
MOST_ASSERTIONS = 1000
_SCHEMES = {"gcs": "gs", "s3a": "s3", "s3n": "s3"}
_SEVERITIES = {Severity.CRITICAL: "error", Severity.WARNING: "warn", Severity.INFO: "info"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredWindow:
    """A window with its profile and, if it was checked, its verdict."""

    window: Window
    profile: Profile
    verdict: Verdict | None = None


def dataset_name(uri: str) -> tuple[str, str]:
    """Return namespace and name of a dataset in OpenLineage's naming: ``("s3://bucket", "prefix")``."""
    parts = urlsplit(uri)
    if is_local(uri):
        return "file", str(Path(path_of(uri)).absolute())
    scheme, host = _SCHEMES.get(parts.scheme, parts.scheme), parts.netloc.rpartition("@")[2]
    return f"{scheme}://{host}" if host else scheme, parts.path.strip("/") or "/"


def lineage_of(measured: MeasuredWindow | None) -> OperatorLineage | None:
    """Return the dataset with its facets; ``None`` without a measurement or without the provider.

    The event holds at most 1,000 columns and 1,000 assertions; the report has them all.
    """
    if measured is None:
        return None
    try:
        from airflow.providers.openlineage.extractors import OperatorLineage
        from openlineage.client.event_v2 import InputDataset
    except ImportError:
        return None
    namespace, name = dataset_name(measured.window.uri)
    dataset = InputDataset(
        namespace=namespace,
        name=name,
        facets=_dataset_facets(measured),
        inputFacets=_input_facets(measured),
    )
    return OperatorLineage(inputs=[dataset])


def _dataset_facets(measured: MeasuredWindow) -> dict[str, Any]:
    from openlineage.client.facet_v2 import dataset_version_dataset, schema_dataset

    columns = measured.profile.columns[:_MOST_COLUMNS]
    fields = [schema_dataset.SchemaDatasetFacetFields(name=c.name, type=c.arrow_type) for c in columns]
    facets: dict[str, Any] = {"schema": schema_dataset.SchemaDatasetFacet(fields=fields)}
    if measured.window.digest:
        version = dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=measured.window.digest)
        facets["version"] = version
    return facets


def _input_facets(measured: MeasuredWindow) -> dict[str, Any]:
    from openlineage.client.facet_v2 import base_subset_dataset, data_quality_metrics_input_dataset

    profile, keys = measured.profile, measured.window.partitions
    columns = profile.columns[:_MOST_COLUMNS]
    facets: dict[str, Any] = {
        "dataQualityMetrics": data_quality_metrics_input_dataset.DataQualityMetricsInputDatasetFacet(
            rowCount=profile.rows, columnMetrics={c.name: _metrics(c) for c in columns}
        )
    }
    if keys:
        parts = [base_subset_dataset.Partition(dimensions={"partition": key}, identifier=key) for key in keys]
        condition = base_subset_dataset.PartitionSubsetCondition(partitions=parts)
        facets["subset"] = base_subset_dataset.InputSubsetInputDatasetFacet(inputCondition=condition)
    if measured.verdict is not None:
        facets["dataQualityAssertions"] = _assertions(measured.verdict.findings, {*profile.names})
    return facets


def _metrics(column: Column) -> ColumnMetrics:
    from openlineage.client.generated.data_quality_metrics_input_dataset import ColumnMetrics

    from airflow_mlops.core.data.profile.column import quantiles

    known: dict[str, Any] = {"nullCount": column.nulls, "count": float(column.present)}
    if column.distinct is not None:
        known["distinctCount"] = round(column.distinct)
    if column.edges and column.mean is not None:
        finite = column.present - column.infinite
        known |= {"sum": column.mean * finite, "min": column.minimum, "max": column.maximum}
        known["quantiles"] = {str(share): value for share, value in quantiles(column, _SHARES).items()}
    return ColumnMetrics(**known)


def _assertions(findings: Sequence[Finding], columns: set[str]) -> Any:
    from openlineage.client.facet_v2 import data_quality_assertions_dataset as facet

    worst = sorted(findings, key=lambda f: f.outcome is Outcome.PASS)[:MOST_ASSERTIONS]
    made = [
        facet.Assertion(
            assertion=found.check,
            success=found.outcome is Outcome.PASS,
            column=found.subject if found.subject in columns else None,
            severity=_SEVERITIES[found.severity],
            description=found.reason,
            expected=None if found.allowed is None else str(found.allowed),
            actual=None if found.observed is None else str(found.observed),
        )
        for found in worst
    ]
    return facet.DataQualityAssertionsDatasetFacet(assertions=made)
