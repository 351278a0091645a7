"""Stands for the MLflow scoring process: the same command line, up at once, as slow as its model says."""

from __future__ import annotations

import argparse
import json
import random
import socket
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Scoring(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.answer(self.server.model.get("ping", 200), b"\n")

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        least, most = self.server.model["milliseconds"]
        time.sleep(self.server.chance.uniform(least, most) / 1000)
        self.answer(self.server.model.get("status", 200), b'{"predictions": [1]}')

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Model-Version", self.server.version)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser()
    for name in (
        "--model-dir",
        "--endpoint",
        "--version",
        "--log-dir",
        "--listener",
        "--workers",
        "--parent",
    ):
        parser.add_argument(name)
    options = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Scoring, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=int(options.listener))
    server.daemon_threads, server.version = True, options.version
    server.model = json.loads((Path(options.model_dir) / "MLmodel").read_text())
    server.chance = random.Random(server.version)  # noqa: S311 - how long it sleeps
    server.server_activate()
    server.serve_forever()


if __name__ == "__main__":
    main()
