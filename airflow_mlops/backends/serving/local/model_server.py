"""The model server of one version: MLflow's scoring app with version headers and an inference log.

With two or more workers it is a prefork server: the workers accept from one listening socket, and a worker
that dies is replaced at once.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_mlops.backends.serving.local.inference_writer import InferenceWriter
from airflow_mlops.core.training.candidate import CLASSES_KEY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping, Sequence

    from mlflow.pyfunc import PyFuncModel

_WATCH_SECONDS = 0.5
_GRACE_SECONDS = 5.0
_IDLE_SECONDS = 75
"""Longer than the gateway keeps an idle connection: the client's side closes it, never this one."""
_BACKLOG = 2048
_LONGEST_HEADER = 2000
_SHORT_LIFE_SECONDS = 1.0
_REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")


class LoggedModel:
    """A model that writes each row it scored, or failed to score, to the inference log.

    MLflow answers 400 when a model raises. A model's failure is a server error, so it becomes an exception
    that MLflow answers with 500; malformed requests stay 400, and so are those that lack an input
    of the model, for want of which it failed.
    """

    def __init__(self, model: PyFuncModel, writer: InferenceWriter) -> None:
        self.metadata = model.metadata
        self._model = model
        self._writer = writer

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        """Score rows and log them."""
        from mlflow.exceptions import INVALID_PARAMETER_VALUE, MlflowException

        try:
            predictions = self._model.predict(data, params=params)
        except MlflowException:
            raise
        except Exception as error:
            lacking = missing_inputs(self.metadata, data)
            if lacking:
                msg = f"the request lacks {', '.join(lacking)}, which the model needs: {type(error).__name__}"
                raise MlflowException(msg, error_code=INVALID_PARAMETER_VALUE) from error
            self._writer.write(_REQUEST_ID.get(), data, None, status=500)
            msg = f"model raised {type(error).__name__}: {error}"
            raise MlflowException(msg) from error
        self._writer.write(_REQUEST_ID.get(), data, predictions, status=200)
        return predictions


def missing_inputs(metadata: Any, data: Any) -> list[str]:
    """Return the inputs of a model's signature that a request does not have."""
    schema = metadata.get_input_schema()
    if schema is None or not schema.has_input_names():
        return []
    there = getattr(data, "columns", data if isinstance(data, Mapping) else None)
    return [] if there is None else [name for name in schema.input_names() if name not in there]


class Identified:
    """ASGI middleware: takes or makes ``X-Request-Id``; answers with it and ``X-Model-Version``.

    A model with classes answers with ``X-Model-Classes``, too: names as JSON, in the order of its scores.
    """

    def __init__(self, app: Any, version: str, classes: Sequence[str] = ()) -> None:
        self.app = app
        self.version = version.encode()
        named = json.dumps(list(classes)).encode()  # ASCII
        self.classes = [(b"x-model-classes", named)] if classes and len(named) <= _LONGEST_HEADER else []

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Pass the request on under its id."""
        given = dict(scope.get("headers", ())).get(b"x-request-id", b"").decode("latin-1")
        request_id = given or uuid.uuid4().hex
        _REQUEST_ID.set(request_id)

        async def send_identified(message: Any) -> None:
            if message["type"] == "http.response.start":
                identity = [
                    (b"x-model-version", self.version),
                    (b"x-request-id", request_id.encode("latin-1")),
                    *self.classes,
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

    serve_preforked(work, listener, options.workers)


def serve_preforked(serve: Callable[[socket.socket], None], listening: socket.socket, count: int) -> NoReturn:
    """Run ``serve`` in ``count`` forked worker processes on one listening socket until told to stop.

    Connections not accepted yet stay with the socket, so a worker that dies fails only the requests it was
    answering. What was loaded before the fork is shared; a replacement is up at once.

    :param serve: answers requests on a socket until told to stop; runs in a worker's main thread.
    """
    listening.listen(_BACKLOG)
    signal.signal(signal.SIGTERM, _stop)
    workers = [_fork(serve, listening) for _ in range(count)]
    try:
        while True:
            begun = time.monotonic()
            dead = multiprocessing.connection.wait([worker.sentinel for worker in workers])
            if time.monotonic() - begun < _SHORT_LIFE_SECONDS:
                time.sleep(_SHORT_LIFE_SECONDS)
            workers = [_fork(serve, listening) if w.sentinel in dead else w for w in workers]
    finally:
        for worker in workers:
            worker.terminate()


def _fork(serve: Callable[[socket.socket], None], listening: socket.socket) -> Any:
    worker = multiprocessing.get_context("fork").Process(target=_work, args=(serve, listening))
    worker.start()
    return worker


def _work(serve: Callable[[socket.socket], None], listening: socket.socket) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    serve(listening)


def _stop(*_: object) -> NoReturn:
    raise SystemExit(0)


def _serve(model: PyFuncModel, options: argparse.Namespace, listening: socket.socket) -> None:
    import uvicorn
    from mlflow.pyfunc import scoring_server

    folder = Path(options.log_dir) / options.endpoint / options.version
    with InferenceWriter(folder, options.version) as writer:
        classes = (model.metadata.metadata or {}).get(CLASSES_KEY, ())
        app = Identified(scoring_server.init(LoggedModel(model, writer)), options.version, classes)
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_keep_alive=_IDLE_SECONDS)
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
    """End this process soon after its parent ended, however that happened: SIGTERM, then SIGKILL."""
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
