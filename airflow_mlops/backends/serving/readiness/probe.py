"""Readiness probe: run a version in the local serving process, without traffic, and measure it."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil

from airflow_mlops.backends.serving.local.model_process import ModelProcesses, is_up
from airflow_mlops.backends.serving.local.state import Server, StateFile
from airflow_mlops.backends.serving.readiness.load_test import JSON, TIMEOUT_SECONDS, LoadTest
from airflow_mlops.backends.serving.readiness.probe_requests import (
    inputs_of,
    probe_requests,
    response_problem,
)
from airflow_mlops.backends.serving.readiness.requirements import differences
from airflow_mlops.core.errors import InvalidConfigError, ServiceUnavailableError
from airflow_mlops.core.release.readiness import ProbeAnswer, ProbeKind, ReadinessMeasurements, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airflow_mlops.backends.serving.readiness.probe_requests import Inputs, ProbeRequest
    from airflow_mlops.core.release.readiness import ReadinessPolicy

_MEGABYTE = 1e6
_LONGEST_PROBLEM = 300
_ENDING_SECONDS = 3.0
_PATIENCE = 3
"""Consecutive requests without an answer after which the probe stops."""


def probe_version(
    model_dir: Path, model: str, version: str, policy: ReadinessPolicy, *, key: str
) -> ReadinessMeasurements:
    """Serve a model folder on a free port of 127.0.0.1, send probe requests, run the load test, stop it.

    The server ends with this process, even if that is killed; leftover files are removed by the next probe
    with the same ``key``.

    :param key: identifies the probe: the same for every try of a task.
    """
    requirements, unmet = differences(model_dir)
    inputs = inputs_of(model_dir)
    found = ReadinessMeasurements(
        model=model,
        version=version,
        inputs=len(inputs.types) if inputs else None,
        has_example=bool(inputs and inputs.has_example),
        requirements=requirements,
        differences=unmet,
        model_mb=sum(f.stat().st_size for f in model_dir.rglob("*") if f.is_file()) / _MEGABYTE,
    )
    with _folder(key) as folder:
        processes = ModelProcesses(StateFile(folder, "readiness"), folder / "log", parent=os.getpid())
        processes.keep_model(version, model_dir)
        server, begun = Server(version=version, slot=""), time.perf_counter()
        state = processes.file.read()
        state.servers[version] = server
        try:
            processes.launch(state, server)
            found = replace(found, start_seconds=time.perf_counter() - begun)
            return _asked(found, server, inputs, policy)
        except ServiceUnavailableError as error:
            return replace(found, unusable=str(error))
        finally:
            processes.end(server)


def _asked(
    found: ReadinessMeasurements, server: Server, inputs: Inputs | None, policy: ReadinessPolicy
) -> ReadinessMeasurements:
    if inputs is None:
        return replace(found, rss_mb=_rss(server))
    address = f"http://127.0.0.1:{server.port}"
    with httpx.Client(base_url=address, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
        wanted = (
            r for r in probe_requests(inputs, policy.largest) if policy.reply(r.kind) is not Reply.UNTESTED
        )
        answers, unusable = send_probes(client, wanted, lambda: is_up(server), lambda: _let_end(server))
        if unusable:
            return replace(found, answers=answers, unusable=unusable)
        test = LoadTest(client, inputs.request(ProbeKind.EXAMPLE, "first row", inputs.rows[:1]).body)
        return replace(
            found,
            answers=answers,
            one_by_one=test.one_by_one(policy.requests),
            at_once=test.at_once(policy.requests, policy.clients),
            load=test.load(policy.load) if policy.load else None,
            rss_mb=_rss(server),
        )


def send_probes(
    client: httpx.Client,
    requests: Iterable[ProbeRequest],
    is_alive: Callable[[], bool],
    let_end: Callable[[], None] = lambda: None,
) -> tuple[tuple[ProbeAnswer, ...], str]:
    """Send requests; return the answers, and the reason for stopping early (empty if all were sent).

    :param let_end: called after a missing answer: a dying process closes its connections first.
    """
    answers: list[ProbeAnswer] = []
    for request in requests:
        answers.append(_answer(client, request))
        if answers[-1].status is None:
            let_end()
        if not is_alive():
            return tuple(answers), f"the server's process ended when it was sent: {request.subject}"
        if len(answers) >= _PATIENCE and all(one.status is None for one in answers[-_PATIENCE:]):
            return tuple(answers), f"{_PATIENCE} requests in a row got no answer, the last: {request.subject}"
    return tuple(answers), ""


def _let_end(server: Server) -> None:
    """Wait a few seconds for a server's process to end; it may only be slow."""
    deadline = time.monotonic() + _ENDING_SECONDS
    while is_up(server) and time.monotonic() < deadline:
        time.sleep(0.05)


def _answer(client: httpx.Client, request: ProbeRequest) -> ProbeAnswer:
    status, problem = None, ""
    try:
        answer = client.post("/invocations", content=request.body, headers=JSON)
    except httpx.HTTPError as error:
        problem = f"{type(error).__name__}: {error}"
    else:
        status = answer.status_code
        is_ok = status == httpx.codes.OK
        problem = response_problem(answer.text, request.rows) if is_ok else _message(answer)
    return ProbeAnswer(kind=request.kind, subject=request.subject, status=status, problem=problem)


def _message(answer: httpx.Response) -> str:
    try:
        text = answer.json()["message"]
    except (ValueError, KeyError, TypeError):
        text = answer.text
    return " ".join(str(text).split())[:_LONGEST_PROBLEM]


def _rss(server: Server) -> float | None:
    if server.process is None or not is_up(server):
        return None
    first = psutil.Process(server.process.pid)
    family = [first, *first.children(recursive=True)]
    return float(sum(one.memory_info().rss for one in family)) / _MEGABYTE


@contextmanager
def _folder(key: str) -> Iterator[Path]:
    """Yield an empty folder for the key, below a folder that only this user can access."""
    ours = Path(tempfile.gettempdir()) / f"mlops-readiness-{os.getuid()}"
    ours.mkdir(mode=0o700, exist_ok=True)
    if ours.is_symlink() or ours.stat().st_uid != os.getuid():
        msg = f"{ours}: belongs to another user; remove it, or set TMPDIR to a folder of your own"
        raise InvalidConfigError(msg)
    folder = ours / hashlib.sha256(key.encode()).hexdigest()[:16]
    shutil.rmtree(folder / "log", ignore_errors=True)
    folder.mkdir(exist_ok=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
