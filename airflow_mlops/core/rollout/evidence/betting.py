"""Testing by betting: the arithmetic of every sequential test of a canary.

Each window yields a share ``seen`` in [0, 1]. A bet multiplies wealth by a factor whose expectation is at
most 1 under the null hypothesis, so that running products of bets are non-negative supermartingales, and a
mean of several of them is an e-process. It reaches 1/alpha with probability at most alpha, however often it
is evaluated: Ville's inequality (Ville 1939; Waudby-Smith & Ramdas, "Estimating means of bounded random
variables by betting", 2023).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from airflow_mlops.core.errors import InvalidConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOG_LIMIT, _MAX_E_VALUE = 300.0, 1e15
_LOG_OF_ZERO = -1e9  # -inf cannot be written as JSON


def require_share(name: str, value: float) -> None:
    """Refuse a probability or rate outside (0, 1): at 0 or 1 there is nothing to bet on.

    :raises InvalidConfigError: names the value.
    """
    if not 0 < value < 1:
        msg = f"{name}: {value}, allowed: above 0 and below 1"
        raise InvalidConfigError(msg)


def mean_exp(logs: Sequence[float]) -> float:
    """Mean of exp(logs), capped at 1e15: far above any threshold, and exact as a JSON number."""
    return min(sum(math.exp(min(value, _LOG_LIMIT)) for value in logs) / len(logs), _MAX_E_VALUE)


def bet(logs: Sequence[float], factors: Sequence[float]) -> tuple[float, ...]:
    """Multiply each running product, given as logarithm, by its factor; a product of 0 stays 0."""
    return tuple(
        log + (math.log(factor) if factor > 0 else _LOG_OF_ZERO)
        for log, factor in zip(logs, factors, strict=True)
    )


def even(capital: float, size: int) -> tuple[float, ...]:
    """Return running products, as logarithms, of so much capital each."""
    return (math.log(capital) if capital > 0 else _LOG_OF_ZERO,) * size


def add_logs(logs: Sequence[float], others: Sequence[float]) -> tuple[float, ...]:
    """Add capital to each running product, both given as logarithms."""
    pairs = zip(logs, others, strict=True)
    return tuple(max(pair) + math.log1p(math.exp(min(pair) - max(pair))) for pair in pairs)


def factor(null_share: float, bet_share: float, seen: float) -> float:
    """Return the factor of a bet on mean ``bet_share``, of expectation 1 at mean ``null_share``, (0, 1)."""
    return seen * bet_share / null_share + (1 - seen) * (1 - bet_share) / (1 - null_share)


def rate_share(ratio: float, arm_share: float) -> float:
    """Share of errors on an arm with ``arm_share`` of the requests and a ``ratio``-fold error rate."""
    return ratio * arm_share / (1 + arm_share * (ratio - 1))


def odds_share(ratio: float, asked: int, others: int, errors: int) -> float:
    """Share of ``errors`` on an arm of ``asked`` requests beside ``others`` at an odds ratio of ``ratio``.

    Solves ``k (others - errors + k) = ratio (asked - k) (errors - k)``, Cornfield's (1956) approximation of
    the mean of Fisher's noncentral hypergeometric distribution. The exact mean is not lower for a ratio
    above 1, and not higher for one below 1. Where all requests fail it is the arm's share of requests.
    """
    middle = others - errors + ratio * (asked + errors)
    root = math.sqrt(max(middle * middle - 4 * (ratio - 1) * ratio * asked * errors, 0.0))
    return 2 * ratio * asked / (middle + root)


def lowest_share(ratio: float, asked: int, others: int, errors: int) -> float:
    """Smallest expected share of errors if the odds ratio is ``ratio`` or more."""
    of_rates = rate_share(ratio, asked / (asked + others))
    return min(of_rates, odds_share(ratio, asked, others, errors))


def highest_share(ratio: float, asked: int, others: int, errors: int) -> float:
    """Largest expected share of errors if the odds ratio is ``ratio`` or less."""
    of_rates = rate_share(ratio, asked / (asked + others))
    return max(of_rates, odds_share(ratio, asked, others, errors))
