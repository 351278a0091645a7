"""ServingHook: an Airflow connection turned into the back end that serves models."""

from __future__ import annotations

import threading
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from airflow_mlops.core.errors import InvalidConfigError, MlopsError
from airflow_mlops.hooks.serving_backends import LOCAL_BACKEND, LocalExtra, read_extra
from airflow_mlops.hooks.serving_metrics import metrics_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_mlops.backends.metrics.protocol import MetricsSource
    from airflow_mlops.backends.serving.protocol import ServingBackend
    from airflow_mlops.core.rollout.plan import RolloutMetric
    from airflow_mlops.hooks.serving_backends import ServingExtra

_SHARED_SECONDS = 300
_SHARED: dict[str, tuple[tuple[str, float], ServingBackend]] = {}
_BUILDING = threading.Lock()
_LOCAL_TYPE, _ANY_TYPE = "mlops_local_serving", "mlops_serving"


class ServingHook(BaseHook):
    """What serves models: this machine, KServe, an HTTPRoute or Vertex AI, by extra ``backend``.

    Connection extra for ``local``: ``state_dir`` (folder for state, sockets and logs; required), ``ports``
    (gateway port per endpoint, free ones otherwise), ``workers`` (processes per version, 1),
    ``inference_log_dir`` (``<state_dir>/inference_log``). The others' are in docs/how-to/serving-backends.md.

    :param serving_conn_id: connection of type ``mlops_serving``, or ``mlops_local_serving``, which is
        always ``local``.
    """

    conn_name_attr = "serving_conn_id"
    default_conn_name = "mlops_serving"
    conn_type = _LOCAL_TYPE
    hook_name = "MLOps local serving"

    def __init__(self, serving_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.serving_conn_id = serving_conn_id

    def backend(self) -> ServingBackend:
        """Return the back end.

        :raises InvalidConfigError: another connection type, an unknown back end or extra, a missing one.
        :raises MissingDependencyError: the back end's optional packages are not installed.
        """
        extra = self._extra
        try:
            return extra.build()
        except InvalidConfigError as error:
            raise self._invalid(str(error)) from error

    def shared_backend(self) -> ServingBackend:
        """Return the back end that is shared in this process: a thousand triggers need one client.

        Rebuilt when the connection's extra changes, and every few minutes for credentials that change.
        """
        key = (self._extra.model_dump_json(), time.monotonic() // _SHARED_SECONDS)
        with _BUILDING:
            known = _SHARED.get(self.serving_conn_id)
            if known is None or known[0] != key:
                known = _SHARED[self.serving_conn_id] = (key, self.backend())
        return known[1]

    def metrics(
        self,
        endpoint: str,
        backend: ServingBackend,
        wanted: Collection[RolloutMetric] = (),
        optional: Collection[RolloutMetric] = (),
    ) -> MetricsSource | None:
        """Return where the endpoint's requests are counted; ``None``: the back end counts them itself.

        :param wanted: the metrics of a plan.
        :param optional: metrics that are measured if the source can.
        :raises InvalidConfigError: the extra ``prometheus`` is not understood; a metric that is not measured.
        """
        try:
            return metrics_of(self._extra, backend, endpoint, wanted, optional)
        except InvalidConfigError as error:
            raise self._invalid(str(error)) from error

    @property
    def inference_log_dir(self) -> Path:
        """Folder of the inference log."""
        extra = self._extra
        if extra.inference_log_dir:
            return Path(extra.inference_log_dir)
        if not isinstance(extra, LocalExtra):
            msg = (
                "extra: key 'inference_log_dir' is missing: this back end writes no inference log of its own"
            )
            raise self._invalid(msg)
        return Path(extra.state_dir) / "inference_log"

    def get_conn(self) -> ServingBackend:
        """Return the back end."""
        return self.backend()

    def test_connection(self) -> tuple[bool, str]:
        """Return whether the state directory can be used, or the back end be built."""
        try:
            extra = self._extra
            if not isinstance(extra, LocalExtra):
                self.backend()
                return True, f"{extra.backend}: understood; no endpoint was read"
            state_dir = Path(extra.state_dir)
            state_dir.mkdir(parents=True, exist_ok=True)
        except (MlopsError, OSError) as error:
            return False, str(error)
        return True, f"endpoints live in {state_dir}"

    @cached_property
    def _extra(self) -> ServingExtra:
        """Read once per hook: on a triggerer each read goes through its supervisor."""
        connection = self.get_connection(self.serving_conn_id)
        if connection.conn_type not in (_LOCAL_TYPE, _ANY_TYPE):
            msg = f"type {connection.conn_type!r}; allowed: {_LOCAL_TYPE}, {_ANY_TYPE}"
            raise self._invalid(msg)
        given = connection.extra_dejson
        if connection.conn_type == _LOCAL_TYPE and (given.get("backend") or LOCAL_BACKEND) != LOCAL_BACKEND:
            msg = f"extra: backend: {given['backend']!r}; type {_LOCAL_TYPE} is always {LOCAL_BACKEND}"
            raise self._invalid(msg)
        try:
            return read_extra(given)
        except InvalidConfigError as error:
            raise self._invalid(str(error)) from error

    def _invalid(self, problem: str) -> InvalidConfigError:
        return InvalidConfigError(f"connection {self.serving_conn_id!r}: {problem}")


class RemoteServingHook(ServingHook):
    """The same hook for the connection type whose form covers every back end."""

    conn_type = _ANY_TYPE
    hook_name = "MLOps serving"
