"""Metrics source on Prometheus: requests, errors and slow answers per version, from raw samples."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from string import Template
from typing import TYPE_CHECKING, Any

import httpx

from airflow_mlops.backends.metrics.series import Series, parse_matrix, total
from airflow_mlops.core.did_you_mean import did_you_mean
from airflow_mlops.core.errors import InvalidConfigError, ServiceUnavailableError
from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.counters import ZERO_COUNTS
from airflow_mlops.core.rollout.evidence.share import ArmCounts
from airflow_mlops.core.rollout.plan import RolloutMetric

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from airflow_mlops.backends.metrics.protocol import Arms
    from airflow_mlops.core.rollout.counters import Reading

_SELECTOR = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{[^{}]*\})?\s*")
_LABEL = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)")
_BUCKET = re.compile(r"\ble\s*=\s*[\"']([^\"']*)[\"']")
_MATCHER = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|=)\s*[\"']([^\"'$]*)[\"']")
_NUMBER = re.compile(r"[1-9]\d\d")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusSelectors(Record):
    """Counters to read: plain selectors with the placeholder ``$version``.

    No functions: raw samples are read, so that each is counted once and counter resets are detected.

    :param requests: ``http_requests_total{version="$version"}``.
    :param errors: ``http_requests_total{version="$version",code=~"5.."}``.
    :param fast: answers that are not slow, ``http_seconds_bucket{version="$version",le="0.25"}``: the
        histogram bucket that contains the champion's p99; needed for latency.
    """

    requests: str
    errors: str
    fast: str | None = None

    def __post_init__(self) -> None:
        """Refuse anything but plain selectors with ``$version``."""
        for name, text in self.given().items():
            if _SELECTOR.fullmatch(text) is None:
                msg = f"prometheus.{name}: {text!r}, allowed: a plain selector such as name{{label='x'}}"
                raise InvalidConfigError(msg)
            if Template(text).get_identifiers() != ["version"]:
                msg = f"prometheus.{name}: {text!r}, allowed: $version, and nothing else, to be filled in"
                raise InvalidConfigError(msg)
        if self.fast is not None and _BUCKET.search(self.fast) is None:
            msg = f'prometheus.fast: {self.fast!r}, allowed: a bucket of a histogram, with le="..."'
            raise InvalidConfigError(msg)

    def given(self) -> dict[str, str]:
        """Return the selectors that are set, by name."""
        known = {"requests": self.requests, "errors": self.errors, "fast": self.fast}
        return {name: text for name, text in known.items() if text is not None}

    def counted(self) -> dict[str, str]:
        """Return the counters to read: for ``fast`` also the histogram's total, of the same scrapes."""
        timed = {} if self.fast is None else {"timed": _BUCKET.sub('le="+Inf"', self.fast)}
        return self.given() | timed

    def codes(self) -> list[tuple[str, re.Pattern[str]]]:
        """Return label and pattern of what makes errors of requests: matchers that ``requests`` has not."""
        common = set(_MATCHER.findall(self.requests))
        found = [each for each in _MATCHER.findall(self.errors) if each not in common]
        exact = [(label, re.escape(text) if how == "=" else text) for label, how, text in found]
        return [(label, pattern) for label, text in exact if (pattern := _compiled(text)) is not None]

    def metric(self, name: str) -> str:
        """Return the metric name of a selector."""
        found = _SELECTOR.fullmatch(self.given()[name])
        return found[1] if found else ""


class PrometheusMetrics:
    """Implements :class:`~airflow_mlops.backends.metrics.protocol.MetricsSource`.

    :param url: of the server, ``http://host:9090``.
    :param headers: sent with each request, for instance ``Authorization``.
    :param settle_seconds: longest delay of a sample from scrape to storage; newer samples are read later.
    :param max_age_seconds: an arm whose newest sample is older has no data; above the scrape interval.
    :param lookback_seconds: how long before the window its start value may lie; above the scrape interval.
    """

    def __init__(
        self,
        url: str,
        selectors: PrometheusSelectors,
        *,
        headers: Mapping[str, str] | None = None,
        settle_seconds: float = 5.0,
        max_age_seconds: float = 90.0,
        lookback_seconds: float = 300.0,
    ) -> None:
        self.url = url.rstrip("/")
        self.selectors = selectors
        self.headers = dict(headers or {})
        self.settle_seconds = settle_seconds
        self.max_age_seconds = max_age_seconds
        self.lookback_seconds = lookback_seconds

    @property
    def measures(self) -> frozenset[RolloutMetric]:
        """Errors, and latency if there is a bucket of fast answers."""
        return frozenset(
            {RolloutMetric.ERRORS}
            if self.selectors.fast is None
            else {RolloutMetric.ERRORS, RolloutMetric.LATENCY}
        )

    def check(self, *, now: float) -> None:
        """Refuse metrics and buckets that the server does not have, and codes of a form that it has not."""
        with httpx.Client(timeout=10, headers=self.headers, verify=_tls()) as client:
            try:
                for name in self.selectors.given():
                    self._check_metric(client, name, now)
                for label, pattern in self.selectors.codes():
                    self._check_codes(client, label, pattern, now)
            except httpx.HTTPError as error:
                raise self._gone(error) from error

    def _check_metric(self, client: httpx.Client, name: str, now: float) -> None:
        metric, text = self.selectors.metric(name), self.selectors.given()[name]
        bucket = _BUCKET.search(text) if name == "fast" else None
        query = {"query": f"count by (le) ({metric})", "time": f"{now:.3f}"}
        found = self._checked(query, client.get(self._api, params=query))["data"]["result"]
        if not found:
            names = client.get(f"{self.url}/api/v1/label/__name__/values").json().get("data", ())
            msg = f"prometheus.{name}: {self.url} has no metric {metric!r} now{did_you_mean(metric, names)}"
            raise InvalidConfigError(msg)
        buckets = sorted((each["metric"].get("le", "") for each in found), key=_bound)
        if bucket is not None and bucket[1] not in buckets:
            msg = f"prometheus.fast: no bucket le={bucket[1]!r} on {metric}, allowed: {', '.join(buckets)}"
            raise InvalidConfigError(msg)

    def _check_codes(self, client: httpx.Client, label: str, pattern: re.Pattern[str], now: float) -> None:
        """Refuse numbers where the label has names (``OK``, ``5xx``), and the reverse: these never match."""
        metric = self.selectors.metric("errors")
        query = {"query": f"count by ({label}) ({metric})", "time": f"{now:.3f}"}
        found = self._checked(query, client.get(self._api, params=query))["data"]["result"]
        codes = sorted({each["metric"].get(label, "") for each in found} - {""})
        if not codes or any(pattern.fullmatch(code) for code in codes):
            return
        if _asks_for_numbers(pattern) != all(map(_NUMBER.fullmatch, codes)):
            msg = (
                f"prometheus.errors: {label} {pattern.pattern!r} matches no code of {metric}, "
                f"which are of another form: {', '.join(codes[:10])}"
            )
            raise InvalidConfigError(msg)

    def read(self, arms: Arms, after: Reading, *, now: float) -> Reading | None:
        """Read all queries one after the other."""
        until, queries = now - self.settle_seconds, self._queries(arms, after, now)
        with httpx.Client(timeout=10, headers=self.headers, verify=_tls()) as client:
            try:
                answers = [client.get(self._api, params=each) for each in queries.values()]
            except httpx.HTTPError as error:
                raise self._gone(error) from error
        return self._reading(arms, after, until, self._parsed(queries, answers))

    @property
    def _api(self) -> str:
        return f"{self.url}/api/v1/query"

    def _queries(self, arms: Arms, after: Reading, now: float) -> dict[tuple[str, str], dict[str, str]]:
        """Return the queries: raw samples per arm and selector, and whether the errors metric exists."""
        until = now - self.settle_seconds
        if not 0 < after.until < until:
            return {}
        seconds = int(until - after.until + self.lookback_seconds) + 1
        at = f"{until:.3f}"
        samples = {
            (arm, name): {"query": f"{Template(text).substitute(version=version)}[{seconds}s]", "time": at}
            for arm, version in arms.named().items()
            for name, text in self.selectors.counted().items()
        }
        known = {
            ("exists", name): {
                "query": f"{self.selectors.metric(name)}[{int(self.lookback_seconds)}s]",
                "time": at,
            }
            for name in ("errors",)
            if self.selectors.metric(name) != self.selectors.metric("requests")
        }
        return samples | known

    def _parsed(
        self, queries: dict[tuple[str, str], dict[str, str]], answers: list[httpx.Response]
    ) -> dict[tuple[str, str], list[Series]]:
        return {
            key: self._series(self._checked(query, answer))
            for (key, query), answer in zip(queries.items(), answers, strict=True)
        }

    def _series(self, answer: Any) -> list[Series]:
        try:
            return parse_matrix(answer)
        except ServiceUnavailableError as error:
            raise self._gone(error) from error

    def _checked(self, query: dict[str, str], answer: httpx.Response) -> dict[str, Any]:
        if answer.status_code == httpx.codes.BAD_REQUEST:
            msg = f"{self.url} does not understand {query['query']!r}: {answer.text[:200]}"
            raise InvalidConfigError(msg)
        try:
            found: dict[str, Any] = answer.raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise self._gone(error) from error
        return found

    def _gone(self, error: Exception) -> ServiceUnavailableError:
        return ServiceUnavailableError(f"prometheus at {self.url}: {str(error) or type(error).__name__}")

    def _reading(
        self, arms: Arms, after: Reading, until: float, found: dict[tuple[str, str], list[Series]]
    ) -> Reading | None:
        if after.until >= until:
            return after
        if not after.until:
            return replace(after, until=until)
        if any(
            self._is_missing(found, arm, name, until)
            for arm in arms.named()
            for name in self.selectors.counted()
        ):
            return None
        counts = {
            (arm, name): total(found[arm, name], after.until, until, _scraped(found, arm, after.until))
            for arm in arms.named()
            for name in self.selectors.counted()
        }
        return _grown(after, until, counts, latency=self.selectors.fast is not None)

    def _is_missing(
        self, found: dict[tuple[str, str], list[Series]], arm: str, name: str, until: float
    ) -> bool:
        """Whether an arm's counter cannot be distinguished from one that does not exist."""
        series = found[arm, name]
        if name == "requests":
            return not series or until - max(each.newest for each in series) > self.max_age_seconds
        if name != "errors":
            return not series
        known = found.get(("exists", name))
        if not series:
            self._require_labels(name, found[arm, "requests"] if known is None else known)
        return known is not None and self._is_unknown(series, known, found[arm, "requests"], until)

    def _require_labels(self, name: str, known: list[Series]) -> None:
        labels = {label for each in known for label in each.labels}
        unknown = sorted(set(_LABEL.findall(_QUOTED.sub("", self.selectors.given()[name]))) - labels)
        if labels and unknown:
            msg = f"prometheus.{name}: no label {unknown[0]!r} on {self.selectors.metric(name)}; it has: "
            raise InvalidConfigError(msg + ", ".join(sorted(labels)))

    def _is_unknown(
        self, series: list[Series], known: list[Series], requests: list[Series], until: float
    ) -> bool:
        """Whether the errors of an arm, in a metric of their own, may be there and are not scraped.

        A counter without a fresh sample is fine only if it may be one that appears with the first error: none
        of the metric is zero, and those that were scraped belonged to targets of the arm's requests.
        """
        if any(until - each.newest <= self.max_age_seconds for each in series):
            return False
        from_zero = any(value == 0 for each in (*known, *series) for _, value in each.samples)
        elsewhere = {each.target for each in series} - {each.target for each in requests}
        return not known or from_zero or bool(elsewhere)


def _compiled(text: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text)
    except re.error:  # Prometheus knows more than Python
        return None


def _asks_for_numbers(pattern: re.Pattern[str]) -> bool:
    return any(pattern.fullmatch(str(code)) for code in range(400, 600))


def _scraped(
    found: dict[tuple[str, str], list[Series]], arm: str, since: float
) -> frozenset[tuple[str | None, ...]]:
    """Return an arm's targets that had a sample before the window."""
    return frozenset(
        each.target
        for (of, _), series in found.items()
        if of == arm
        for each in series
        if each.oldest <= since
    )


def _bound(bucket: str) -> float:
    try:
        return float(bucket)
    except ValueError:
        return float("inf")


@cache
def _tls() -> ssl.SSLContext:
    """Load the certificates once: it takes 16 ms of CPU, more than the rest of a reading."""
    return httpx.create_ssl_context()


def _grown(after: Reading, until: float, counts: dict[tuple[str, str], int], *, latency: bool) -> Reading:
    def count(arm: str, name: str) -> int:
        return counts.get((arm, name), 0)

    added = {
        f"{arm}_{name}": getattr(after, f"{arm}_{name}") + count(arm, name)
        for arm in ("canary", "stable")
        for name in ("requests", "errors")
    }
    grown = replace(after, until=until, **added)
    if not latency:
        return grown
    before = after.latency or ZERO_COUNTS
    slow = {arm: max(0, count(arm, "timed") - count(arm, "fast")) for arm in ("canary", "stable")}
    return replace(
        grown,
        latency=ArmCounts(
            canary_requests=before.canary_requests + count("canary", "timed"),
            canary_errors=before.canary_errors + slow["canary"],
            stable_requests=before.stable_requests + count("stable", "timed"),
            stable_errors=before.stable_errors + slow["stable"],
        ),
    )
