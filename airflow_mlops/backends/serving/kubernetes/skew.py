"""How far this machine's clock is from the API server's: leases compare times of several machines."""

from __future__ import annotations

import logging
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from airflow_mlops.core.rollout.lease import SKEW_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

_logger = logging.getLogger(__name__)


class SkewMeter:
    """Compares answers' ``Date`` with this machine's clock, and warns when they differ by more than allowed.

    :param wall: this machine's clock, in seconds since the epoch.
    """

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self.wall = wall
        self.seconds: float | None = None
        self._told = 0.0

    def see(self, date: str | None) -> None:
        """Measure by one answer; it warns again only when the difference has changed.

        :param date: the header, in whole seconds; ``None`` or another text measures nothing.
        """
        try:
            served = parsedate_to_datetime(date or "").timestamp()
        except ValueError:
            return
        self.seconds = self.wall() - served
        if abs(self.seconds) > SKEW_SECONDS + 1 and abs(self.seconds - self._told) > SKEW_SECONDS:
            self._told = self.seconds
            _logger.warning(
                "this machine's clock is %.0f s %s the API server's, %g s are allowed: leases end %s here",
                abs(self.seconds),
                *("ahead of" if self.seconds > 0 else "behind", SKEW_SECONDS),
                "too early" if self.seconds > 0 else "too late",
            )
