"""Log a trained model, its inputs and its environment into its MLflow run."""

from __future__ import annotations

import json
import platform
import re
from importlib import metadata
from itertools import count
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.training.flavours import flavour_of
from airflow_mlops.backends.training.in_process import load_function, source_file
from airflow_mlops.core.errors import TrainingError
from airflow_mlops.core.training.candidate import CLASSES_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

    from airflow_mlops.backends.mlflow_server import MlflowServer
    from airflow_mlops.backends.training.rows import Rows
    from airflow_mlops.core.data.window import Window
    from airflow_mlops.core.training.job import DatasetSpec

_EXAMPLE_ROWS = 5
_PACKAGES = ("mlflow", "scikit-learn", "numpy", "pandas", "airflow-provider-mlops")
_SERVED_WITH = ("mlflow", "scikit-learn", "numpy", "pandas", "cloudpickle", "scipy")
_LONGEST_NAME = 200
_LONGEST_PARAM = 500
_NOT_IN_NAMES = re.compile(r"[^\w\-. :/]|(?<=[./])[./]+|^[./]+|[./]+$", re.ASCII)


class TrainingLog:
    """The MLflow run of one training.

    :param run: the evidence run of the DAG run.
    """

    def __init__(self, server: MlflowServer, run: str) -> None:
        self.server = server
        self.run = run

    def params(self, params: Mapping[str, Any]) -> None:
        """Log the parameters of a training that succeeded; the candidate's record holds them as they are.

        MLflow never changes a parameter of a run: where an earlier try logged another value, the newest
        stands under ``<name>.2``, ``<name>.3`` and so on. Characters that MLflow refuses in a name are
        replaced by ``_``.
        """
        with self.server.session() as client:
            known = dict(client.get_run(self.run).data.params)
            for name, value in params.items():
                text, plain = str(value)[:_LONGEST_PARAM], _NOT_IN_NAMES.sub("_", name)[:_LONGEST_NAME]
                names = (plain if number == 1 else f"{plain}.{number}" for number in count(1))
                free = next(each for each in names if known.get(each, text) == text)
                client.log_param(self.run, free, text)
                known[free] = text

    def inputs(self, window: Window, rows: Rows, spec: DatasetSpec) -> None:
        """Log the dataset before training starts: its digest and source."""
        import mlflow

        with self.server.session():
            dataset = mlflow.data.from_pandas(
                rows.training[[*rows.features, spec.target]].head(1000),
                source=window.uri,
                targets=spec.target,
                name=window.label,
                digest=window.digest.removeprefix("sha256:")[:36],
            )
            with mlflow.start_run(run_id=self.run):
                mlflow.log_input(dataset, context="training")

    def model(self, model: Any, rows: Rows, code: Sequence[str], classes: Sequence[str] = ()) -> str:
        """Log the model with signature, input example and requirements; return its URI.

        Requirements are those that MLflow infers by loading the model, and the pins of what serves it.

        :param classes: in the order of its scores' columns, as its metadata records them.
        :raises TrainingError: MLflow cannot store it.
        """
        import mlflow
        from mlflow.exceptions import MlflowException

        example = rows.holdout[rows.features].head(_EXAMPLE_ROWS)
        common = {
            "name": "model",
            "signature": signature(rows.training[rows.features]),
            "input_example": example,
            "extra_pip_requirements": _pins(_SERVED_WITH),
            "code_paths": list(code) or None,
            "metadata": {CLASSES_KEY: list(classes)} if classes else None,
        }
        with self.server.session(), mlflow.start_run(run_id=self.run):
            try:
                return str(_log(model, common).model_uri)
            except (MlflowException, TypeError, AttributeError) as error:
                msg = f"model {type(model).__name__} cannot be stored: {error}"
                raise TrainingError(msg) from error


def signature(features: pd.DataFrame) -> Any:
    """Return a signature that fits JSON requests: doubles, booleans and strings, nulls allowed."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, Schema

    kinds = {"b": "boolean", "f": "double"}
    columns = [
        ColSpec(kinds.get(column.dtype.kind, "string"), str(name), required=False)
        for name, column in features.items()
    ]
    return ModelSignature(Schema(columns), Schema([ColSpec(AnyType())]))


def version_tags(function: Callable[..., Any] | str) -> dict[str, str]:
    """Return tags with the versions of the packages and the commit of the author's file."""
    from mlflow.utils.git_utils import get_git_commit

    versions = {"python": platform.python_version(), **dict(pin.split("==") for pin in _pins(_PACKAGES))}
    files = source_file(load_function(function))
    commit = get_git_commit(files[0]) if files else None
    return {"mlops.versions": json.dumps(versions), "mlops.git_sha": commit or ""}


def _log(model: Any, common: dict[str, Any]) -> Any:
    import mlflow.pyfunc
    import mlflow.sklearn

    if hasattr(model, "get_params"):
        served = "predict_proba" if hasattr(model, "predict_proba") else "predict"
        return mlflow.sklearn.log_model(
            model, pyfunc_predict_fn=served, serialization_format="cloudpickle", **common
        )
    flavour = flavour_of(model)
    if flavour is not None:
        return flavour.log_model(model, **common)
    from airflow_mlops.backends.training.plain_model import PlainModel

    is_stored_as_it_is = isinstance(model, mlflow.pyfunc.PythonModel)
    return mlflow.pyfunc.log_model(python_model=model if is_stored_as_it_is else PlainModel(model), **common)


def _pins(packages: Sequence[str]) -> list[str]:
    pins = []
    for name in packages:
        try:
            pins.append(f"{name}=={metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return pins
