"""A Prometheus over HTTP as far as rollouts ask it: raw samples of counters that grow all the time."""

from __future__ import annotations

import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

COUNT = re.compile(r"count by \(le\) \((?P<metric>\w+)\)")
QUERY = re.compile(r'(?P<metric>\w+)(\{version="(?P<version>[^"]*)"\})?\[\d+s\]')
PER_SECOND, STEP_SECONDS, STEPS = 40000.0, 0.1, 120


class Prometheus(ThreadingHTTPServer):
    """Every version is asked equally often; of those in ``bad`` a share of answers fails.

    :param gone: versions whose series went stale.
    :param refusals: how many of the next questions are answered with 503.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.daemon_threads, self.began = True, time.time() - 1000
        self.bad, self.asked, self.gone, self.refusals = {}, set(), set(), 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()
        self.thread.join()

    def series(self, metric, version, until):
        share = 1.0 if metric == "requests_total" else self.bad.get(version, 0.0)
        times = [until - STEP_SECONDS * number for number in reversed(range(STEPS))]
        values = [[at, str(int(PER_SECOND * share * (at - self.began)))] for at in times]
        return {"metric": {"__name__": metric, "version": version or "any"}, "values": values}


class Answers(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        given = parse_qs(urlsplit(self.path).query)
        query, at = given["query"][0], float(given["time"][0])
        if COUNT.fullmatch(query):
            self._say(200, "vector", {"metric": {}, "value": [at, "3"]})
            return
        server, found = self.server, QUERY.fullmatch(query)
        server.asked.add(found["version"])
        status = 503 if server.refusals > 0 else 200
        server.refusals -= 1
        known = [] if found["version"] in server.gone else [found["version"]]
        self._say(status, "matrix", *(server.series(found["metric"], version, at) for version in known))

    def _say(self, status, kind, *series):
        data = json.dumps({"status": "success", "data": {"resultType": kind, "result": series}})
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data.encode())
