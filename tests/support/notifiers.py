"""Notifiers for tests: one that writes what it is told, one that raises, one that hangs."""

from __future__ import annotations

import json
import threading

from airflow.sdk import BaseNotifier


class FileNotifier(BaseNotifier):
    """Appends what it is told to a file, a JSON document a line."""

    template_fields = ("path", "message", "fields")

    def __init__(self, path, message="{{ rollout.text }}"):
        super().__init__()
        self.path, self.message = str(path), message
        names = ("event", "model", "version", "champion", "step", "weight", "reason", "subject")
        self.fields = {name: f"{{{{ rollout.{name} }}}}" for name in names} | {
            "run": "{{ rollout.links.run }}",
            "evidence": "{{ rollout.links.evidence }}",
            "report": "{{ rollout.links.report }}",
        }

    def notify(self, context):
        with open(self.path, "a") as file:  # noqa: PTH123 - as authors write it
            file.write(json.dumps({"message": self.message, **self.fields}) + "\n")


class BrokenNotifier(BaseNotifier):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def notify(self, context):
        raise self.error


class HangingNotifier(BaseNotifier):
    def __init__(self):
        super().__init__()
        self.may_end = threading.Event()

    def notify(self, context):
        self.may_end.wait()
