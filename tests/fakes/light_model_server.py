"""Stands for the MLflow scoring process: the same command line, up at once, as slow as its model says."""

from __future__ import annotations

import argparse
import json
import random
import socket
import struct
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BROKEN = {
    "closes": b"",
    "resets": b"",
    "is no HTTP": b"Traceback (most recent call last)\r\n\r\n",
    "cut off": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nok",
    "cut chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "hangs": b"",
    "stalls": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nok",
    "announced": b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
}
"""What is sent of an answer before the connection ends; *announced* is whole."""


class Scoring(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.answer(self.server.model.get("ping", 200), b"\n")

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        least, most = self.server.model["milliseconds"]
        time.sleep(self.server.chance.uniform(least, most) / 1000)
        if breaks := self.server.model.get("breaks"):
            self.broken(breaks)
        else:
            more = b" " * self.server.model.get("bytes", 0)
            self.answer(self.server.model.get("status", 200), b'{"predictions": [1]}' + more)

    def broken(self, how):
        """Answer as a server in trouble does, then end the connection."""
        self.wfile.write(BROKEN[how])
        self.wfile.flush()
        if how in ("hangs", "stalls"):
            time.sleep(60)
        if how == "resets":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        self.close_connection = True

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
