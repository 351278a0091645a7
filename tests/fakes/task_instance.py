"""A task instance as operators see it: its try, its id, and the XComs that it pushed."""

from __future__ import annotations


class TaskInstance:
    def __init__(self, id="ti", *, try_number=1, map_index=-1):  # noqa: A002 - as Airflow calls it
        self.id, self.try_number, self.map_index = id, try_number, map_index
        self.xcoms = {}

    def xcom_push(self, key, value):
        self.xcoms[key] = value

    def link(self, kind):
        """The URL that an extra link was given; empty if none."""
        return self.xcoms.get(kind().xcom_key, "")
