"""ServingHook: an Airflow connection turned into the back end that serves models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from airflow_mlops.core.errors import InvalidConfigError, MlopsError

if TYPE_CHECKING:
    from airflow_mlops.backends.serving.protocol import ServingBackend

LOCAL = "mlops_local_serving"
EXTRAS = ("state_dir", "ports", "inference_log_dir")


class ServingHook(BaseHook):
    """Serving on one machine: HAProxy in front of MLflow scoring processes.

    Connection extra: ``state_dir`` (folder for state, sockets and logs; required), ``ports`` (gateway port
    per endpoint, free ones otherwise), ``inference_log_dir`` (``<state_dir>/inference_log``).

    :param serving_conn_id: connection of a serving type; now ``mlops_local_serving``.
    """

    conn_name_attr = "serving_conn_id"
    default_conn_name = "mlops_serving"
    conn_type = LOCAL
    hook_name = "MLOps local serving"

    def __init__(self, serving_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.serving_conn_id = serving_conn_id

    def backend(self) -> ServingBackend:
        """Return the back end.

        :raises InvalidConfigError: another connection type, an unknown or a missing extra.
        """
        from airflow_mlops.backends.serving.local import LocalServing

        extra = self._extra()
        return LocalServing(
            Path(extra["state_dir"]), ports=self._ports(extra), log_dir=self.inference_log_dir
        )

    @property
    def inference_log_dir(self) -> Path:
        """Folder of the inference log."""
        extra = self._extra()
        return Path(extra.get("inference_log_dir") or Path(extra["state_dir"]) / "inference_log")

    def get_conn(self) -> ServingBackend:
        """Return the back end."""
        return self.backend()

    def test_connection(self) -> tuple[bool, str]:
        """Say whether the state directory can be used."""
        try:
            state_dir = Path(self._extra()["state_dir"])
            state_dir.mkdir(parents=True, exist_ok=True)
        except (MlopsError, OSError) as error:
            return False, str(error)
        return True, f"endpoints live in {state_dir}"

    def _extra(self) -> dict[str, Any]:
        connection = self.get_connection(self.serving_conn_id)
        if connection.conn_type != LOCAL:
            msg = f"type {connection.conn_type!r}; allowed: {LOCAL}"
            raise self._invalid(msg)
        extra: dict[str, Any] = connection.extra_dejson
        unknown = sorted(set(extra) - set(EXTRAS))
        if unknown:
            msg = f"unknown extra {unknown[0]!r}; allowed: {', '.join(EXTRAS)}"
            raise self._invalid(msg)
        if not extra.get("state_dir"):
            msg = "extra 'state_dir' is missing: the folder that holds the endpoints' state"
            raise self._invalid(msg)
        return extra

    def _ports(self, extra: dict[str, Any]) -> dict[str, int]:
        ports = extra.get("ports") or {}
        valid = isinstance(ports, dict) and all(isinstance(p, int) and 0 < p < 65536 for p in ports.values())
        if not valid:
            msg = f"extra 'ports' is {ports!r}; allowed: endpoint name to port, 1 to 65535"
            raise self._invalid(msg)
        return ports

    def _invalid(self, problem: str) -> InvalidConfigError:
        return InvalidConfigError(f"connection {self.serving_conn_id!r}: {problem}")
