from __future__ import annotations


class FakeClock:
    """Time that passes when somebody sleeps, and only then."""

    def __init__(self):
        self.seconds = 0.0
        self.slept = []

    def now(self):
        return self.seconds

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.seconds += seconds
