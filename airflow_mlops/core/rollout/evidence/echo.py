"""An outage of both versions that the canary reports later, because it answers later."""

from __future__ import annotations

from dataclasses import dataclass, replace

from airflow_mlops.core.record import Record

OUTAGE_ERRORS, OUTAGE_RATE, OUTAGE_TIMES = 5, 0.1, 5.0
"""A window of stable is an outage with that many errors, that share of its requests, that many times its
usual share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StableOutage(Record):
    """What stable failed in all, and its last outage.

    :param requests: requests of stable so far; ``errors``: those that failed.
    :param share: largest share that failed in a window of the last outage; ``until``: its end.
    """

    requests: int = 0
    errors: int = 0
    share: float = 0.0
    until: float = 0.0

    def plus(self, asked: int, failed: int, *, since: float, until: float, horizon: float) -> StableOutage:
        """Return this with a later window, in which ``failed`` of ``asked`` requests of stable failed.

        :param horizon: seconds for which an outage is remembered.
        """
        counted = replace(self, requests=self.requests + asked, errors=self.errors + failed)
        usual = self.errors / self.requests if self.requests else 0.0
        if failed < max(OUTAGE_ERRORS, OUTAGE_RATE * asked, OUTAGE_TIMES * usual * asked):
            return counted
        before = self.share if since - self.until <= horizon else 0.0
        return replace(counted, share=max(before, failed / asked), until=until)

    def matching(self, asked: int, failed: int, *, since: float, horizon: float) -> float:
        """Return errors that stable would have in a window, beyond those it has, if its outage went on in it.

        They only make the canary's share of the errors smaller, so a bet that it is large stays valid.
        """
        if self.share == 0 or since - self.until > horizon:
            return 0.0
        return max(self.share * asked - failed, 0.0)
