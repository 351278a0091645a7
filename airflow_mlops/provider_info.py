"""Provider metadata that Airflow discovers: connection types with their forms, hooks, links."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description in Airflow's own schema."""
    return {
        "package-name": "airflow-provider-mlops",
        "name": "MLOps",
        "description": "From new data to full traffic and back, with verdicts that can be trusted.",
        "integrations": [
            {"integration-name": "MLflow", "external-doc-url": "https://mlflow.org/", "tags": ["software"]},
            {
                "integration-name": "HAProxy",
                "external-doc-url": "https://www.haproxy.org/",
                "tags": ["software"],
            },
            _integration("KServe", "https://kserve.github.io/website/"),
            _integration("Gateway API", "https://gateway-api.sigs.k8s.io/"),
            _integration("Vertex AI", "https://cloud.google.com/vertex-ai/docs"),
        ],
        "operators": [
            {
                "integration-name": "MLflow",
                "python-modules": [
                    f"airflow_mlops.operators.{stage}"
                    for stage in (
                        "data",
                        "training",
                        "validation",
                        "security",
                        "readiness",
                        "card",
                        "approval",
                        "rollout",
                        "rollback",
                        "replay",
                        "monitoring",
                        "retraining",
                    )
                ],
            }
        ],
        "sensors": [
            {"integration-name": "HAProxy", "python-modules": ["airflow_mlops.sensors.canary"]},
            {"integration-name": "MLflow", "python-modules": ["airflow_mlops.sensors.data"]},
        ],
        "hooks": [
            {"integration-name": "MLflow", "python-modules": ["airflow_mlops.hooks.mlflow"]},
            {"integration-name": "HAProxy", "python-modules": ["airflow_mlops.hooks.serving"]},
        ],
        "triggers": [
            {"integration-name": "HAProxy", "python-modules": ["airflow_mlops.triggers.canary"]},
            {
                "integration-name": "MLflow",
                "python-modules": [
                    f"airflow_mlops.triggers.{name}" for name in ("answer", "data", "registry")
                ],
            },
        ],
        "extra-links": [
            f"airflow_mlops.links.{name}"
            for name in ("EvidenceRunLink", "FullReportLink", "UpdateReportLink")
        ],
        "connection-types": [_mlflow(), _local_serving(), _serving()],
        "config": {"mlops": {"description": "The page Models and its API.", "options": _options()}},
    }


def _options() -> dict[str, Any]:
    return {
        "mlflow_conn_id": {
            "description": "Connection of the MLflow server whose ledgers the page Models shows.",
            "version_added": None,
            "type": "string",
            "example": None,
            "default": "mlflow_default",
        },
        "serving_conn_ids": {
            "description": "Serving connections whose rollouts the page Models shows and stops, with commas.",
            "version_added": None,
            "type": "string",
            "example": "mlops_serving,vertex_serving",
            "default": "mlops_serving",
        },
    }


def _integration(name: str, url: str) -> dict[str, Any]:
    return {"integration-name": name, "external-doc-url": url, "tags": ["software"]}


def _mlflow() -> dict[str, Any]:
    return {
        "connection-type": "mlflow",
        "hook-class-name": "airflow_mlops.hooks.mlflow.MlflowHook",
        "hook-name": "MLflow",
        "conn-fields": {
            "token": {
                "label": "Bearer token",
                "schema": {"type": ["string", "null"], "format": "password"},
            }
        },
        "ui-field-behaviour": {
            "hidden-fields": ["schema"],
            "relabeling": {"host": "Tracking URI"},
            "placeholders": {"host": "https://mlflow.example.org"},
        },
    }


def _local_serving() -> dict[str, Any]:
    return {
        "connection-type": "mlops_local_serving",
        "hook-class-name": "airflow_mlops.hooks.serving.ServingHook",
        "hook-name": "MLOps local serving",
        "conn-fields": {
            "state_dir": {
                "label": "State directory",
                "schema": {"type": "string"},
                "description": "State, sockets and logs of the endpoints; on the serving machine.",
            },
            "inference_log_dir": {
                "label": "Inference log directory",
                "schema": {"type": ["string", "null"]},
                "description": "Below the state directory if empty.",
            },
            "ports": {
                "label": "Gateway port per endpoint",
                "schema": {"type": ["object", "null"]},
                "description": "Endpoints that are not listed get a free port.",
            },
            "workers": {
                "label": "Processes per version",
                "schema": {"type": ["integer", "null"], "minimum": 1},
                "description": "With 2 or more, a process that dies loses only its own requests.",
            },
        },
        "ui-field-behaviour": {
            "hidden-fields": ["host", "port", "login", "password", "schema"],
            "relabeling": {},
            "placeholders": {},
        },
    }


def _serving() -> dict[str, Any]:
    text, number, mapping = ["string", "null"], ["number", "null"], ["object", "null"]
    return {
        "connection-type": "mlops_serving",
        "hook-class-name": "airflow_mlops.hooks.serving.RemoteServingHook",
        "hook-name": "MLOps serving",
        "conn-fields": {
            "backend": {
                "label": "Back end",
                "schema": {"type": "string", "enum": ["local", "kserve", "http_route", "vertex"]},
                "description": "Serving platform. Leave fields of other back ends empty.",
            },
            "models": _field("Models", text, "kserve, vertex: template with {endpoint} and {version}."),
            "services": _field("Services", text, "http_route: template with {endpoint} and {version}."),
            "kubernetes_conn_id": _field("Kubernetes connection", text, "kubernetes_default if empty."),
            "namespace": _field("Namespace", text, "The Kubernetes connection's if empty."),
            "names": _field("Object name per endpoint", mapping, "The endpoint's own name otherwise."),
            "mode": _field("KServe deployment mode", text, "Knative or Standard, where KServe does not say."),
            "predictor": _field("KServe predictor", mapping, "spec.predictor of services to create."),
            "gcp_conn_id": _field("Google Cloud connection", text, "google_cloud_default if empty."),
            "endpoints": _field("Vertex endpoints", mapping, "Resource name per endpoint."),
            "deployed_model": _field(
                "Vertex deployed model", mapping, "Machine type and replicas; passed to Vertex AI."
            ),
            "state_dir": _field("State directory", text, "local: state, sockets and logs."),
            "workers": _field("Processes per version", ["integer", "null"], "local: 1 if empty."),
            "inference_log_dir": _field("Inference log directory", text, "Folder of the logged predictions."),
            "prometheus": _field("Prometheus", mapping, "url, and selectors requests, errors, fast."),
            "inference_table": _field("Inference table", mapping, "conn_id, table, and its columns."),
            "ready_seconds": _field("Longest wait for a version", number, "900 if empty."),
        },
        "ui-field-behaviour": {
            "hidden-fields": ["host", "port", "login", "password", "schema"],
            "relabeling": {},
            "placeholders": {},
        },
    }


def _field(label: str, kind: list[str], description: str) -> dict[str, Any]:
    return {"label": label, "schema": {"type": kind}, "description": description}
