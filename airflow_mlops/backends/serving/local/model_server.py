"""The scoring process of one version: MLflow's scoring app, told apart by version, with an inference log."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import threading
import time
import uuid
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.serving.local.inference_writer import InferenceWriter
from airflow_mlops.backends.serving.local.prefork import serve_siblings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping, Sequence

    from mlflow.pyfunc import PyFuncModel

WATCH_SECONDS = 0.5
GRACE_SECONDS = 5.0
IDLE_SECONDS = 75
"""Longer than the gateway keeps an idle connection: the side that sends requests closes, never this one."""
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")


class LoggedModel:
    """A model that writes each row it scored, or failed to score, to the inference log.

    MLflow answers 400 when a model raises; a model's failure is the server's fault, so it is turned into
    an error that MLflow answers with 500. Malformed requests stay 400.
    """

    def __init__(self, model: PyFuncModel, writer: InferenceWriter) -> None:
        self.metadata = model.metadata
        self._model = model
        self._writer = writer

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        """Score rows and log them."""
        from mlflow.exceptions import MlflowException

        try:
            predictions = self._model.predict(data, params=params)
        except MlflowException:
            raise
        except Exception as error:
            self._writer.write(REQUEST_ID.get(), data, None, status=500)
            msg = f"model raised {type(error).__name__}: {error}"
            raise MlflowException(msg) from error
        self._writer.write(REQUEST_ID.get(), data, predictions, status=200)
        return predictions


class Identified:
    """ASGI layer: takes or makes ``X-Request-Id`` and answers with it and ``X-Model-Version``."""

    def __init__(self, app: Any, version: str) -> None:
        self.app = app
        self.version = version.encode()

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Pass the request on under its id."""
        given = dict(scope.get("headers", ())).get(b"x-request-id", b"").decode("latin-1")
        request_id = given or uuid.uuid4().hex
        REQUEST_ID.set(request_id)

        async def send_identified(message: Any) -> None:
            if message["type"] == "http.response.start":
                identity = [
                    (b"x-model-version", self.version),
                    (b"x-request-id", request_id.encode("latin-1")),
                ]
                message = {**message, "headers": [*message.get("headers", ()), *identity]}
            await send(message)

        await self.app(scope, receive, send_identified)


def main(argv: Sequence[str] | None = None) -> None:
    """Serve one model folder on an inherited socket until told to stop."""
    options = _options(argv)
    if options.parent is not None:
        threading.Thread(target=_end_with, args=(options.parent,), daemon=True).start()

    import mlflow.pyfunc

    model = mlflow.pyfunc.load_model(options.model_dir)
    listener = socket.socket(fileno=options.listener)
    if options.workers == 1:
        _serve(model, options, listener)
        return
    first = os.getpid()

    def work(listening: socket.socket) -> None:
        threading.Thread(target=_end_with, args=(first,), daemon=True).start()
        _serve(model, options, listening)

    serve_siblings(work, listener, options.workers)


def _serve(model: PyFuncModel, options: argparse.Namespace, listening: socket.socket) -> None:
    import uvicorn
    from mlflow.pyfunc import scoring_server

    folder = Path(options.log_dir) / options.endpoint / options.version
    with InferenceWriter(folder, options.version) as writer:
        app = Identified(scoring_server.init(LoggedModel(model, writer)), options.version)
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_keep_alive=IDLE_SECONDS)
        uvicorn.Server(config).run(sockets=[listening])


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--model-dir", "--endpoint", "--version", "--log-dir"):
        parser.add_argument(name, required=True)
    parser.add_argument("--listener", required=True, type=int, help="number of the inherited socket")
    parser.add_argument("--workers", type=int, default=1, help="processes that answer on the port")
    parser.add_argument("--parent", type=int, help="pid of the process that this one must not outlive")
    return parser.parse_args(argv)


def _end_with(parent: int) -> None:
    """End this process soon after its parent, however that died; a request in the way only delays it."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
