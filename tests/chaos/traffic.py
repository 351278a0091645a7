"""Clients of a chaos run, in a process of their own: an even stream; every failed request is kept."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import asdict
from itertools import count
from pathlib import Path

from airflow_mlops.demo.traffic import send_evenly

BODY = {"dataframe_split": {"columns": ["x"], "data": [[0.5]]}}


class Clients:
    """The process.

    :param folder: where ``failed.jsonl`` and ``sent.json`` are written.
    """

    def __init__(self, url: str, rate: float, folder: Path) -> None:
        self.folder = folder
        command = [sys.executable, "-m", "chaos.traffic", url, str(rate), str(folder)]
        self._process = subprocess.Popen(command, cwd=Path(__file__).parent.parent)

    def failures(self) -> list[dict]:
        path = self.folder / "failed.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def stop(self) -> dict:
        """End the stream; return how many requests were sent, in how many seconds."""
        self._process.terminate()
        self._process.wait(timeout=60)
        return json.loads((self.folder / "sent.json").read_text())


def main() -> None:
    url, rate, folder = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])
    sent: dict[str, int] = {}
    begun = time.monotonic()
    with (folder / "failed.jsonl").open("w") as file:

        def take(answer) -> None:
            sent[answer.version] = sent.get(answer.version, 0) + 1
            if answer.failed:
                file.write(json.dumps(asdict(answer)) + "\n")
                file.flush()

        endless = ((f"chaos-{number}", BODY) for number in count())
        asyncio.run(send_evenly(url, endless, rate, take))
    seconds = time.monotonic() - begun
    (folder / "sent.json").write_text(json.dumps({"sent": sent, "seconds": seconds}))


if __name__ == "__main__":
    main()
