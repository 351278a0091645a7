from __future__ import annotations


class FakeClock:
    """Implements ``Clock``: time passes only in ``sleep``, at once, and every pause is recorded."""

    def __init__(self):
        self.seconds = 0.0
        self.slept = []

    def now(self):
        return self.seconds

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.seconds += seconds
