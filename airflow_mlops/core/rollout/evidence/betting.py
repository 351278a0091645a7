"""Bets on shares: what every sequential test of a canary is made of.

A share ``seen`` in [0, 1] is observed per window; a bet multiplies wealth by a factor whose mean is at
most 1 while the null hypothesis holds. The mean over several running products is an e-process: it
reaches 1/alpha with probability at most alpha, however often one looks (Ville's inequality;
Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting", 2023).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from airflow_mlops.core.errors import InvalidConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOG_LIMIT, _MAX_E_VALUE = 300.0, 1e15
_LOG_OF_ZERO = -1e9  # not -inf: that is no JSON


def require_share(name: str, value: float) -> None:
    """Refuse what is no share: a chance or a rate of exactly 0 or 1 leaves nothing to bet on.

    :raises InvalidConfigError: names it.
    """
    if not 0 < value < 1:
        msg = f"{name}: {value}, allowed: above 0 and below 1"
        raise InvalidConfigError(msg)


def mean_exp(logs: Sequence[float]) -> float:
    """Mean of exp(logs), at most 1e15: far above any bar, and exact wherever it is written."""
    return min(sum(math.exp(min(value, _LOG_LIMIT)) for value in logs) / len(logs), _MAX_E_VALUE)


def bet(logs: Sequence[float], factors: Sequence[float]) -> tuple[float, ...]:
    """Multiply each running product by its factor, in logarithms; a lost product stays lost."""
    return tuple(
        log + (math.log(factor) if factor > 0 else _LOG_OF_ZERO)
        for log, factor in zip(logs, factors, strict=True)
    )


def add_capital(logs: Sequence[float], capital: float) -> tuple[float, ...]:
    """Put the same capital on each running product, given as logarithms."""
    return (
        tuple(math.log(math.exp(min(log, _LOG_LIMIT)) + capital) for log in logs) if capital else tuple(logs)
    )


def factor(null_share: float, bet_share: float, seen: float) -> float:
    """Bet that the mean of ``seen`` is ``bet_share``; fair when it is ``null_share``, (0, 1)."""
    return seen * bet_share / null_share + (1 - seen) * (1 - bet_share) / (1 - null_share)


def rate_share(ratio: float, arm_share: float) -> float:
    """Share of errors on an arm with ``arm_share`` of the requests that fails ``ratio`` times as often."""
    return ratio * arm_share / (1 + arm_share * (ratio - 1))


def odds_share(ratio: float, asked: int, others: int, errors: int) -> float:
    """Share of ``errors`` on an arm of ``asked`` requests beside ``others`` when its odds are ``ratio``-fold.

    Solves ``k (others - errors + k) = ratio (asked - k) (errors - k)``: what Fisher's noncentral
    hypergeometric mean would be without its variance. For a ratio above 1 that mean is never lower, for
    one below 1 never higher. Where everything fails there is no room for odds: the share of requests.
    """
    middle = others - errors + ratio * (asked + errors)
    root = math.sqrt(max(middle * middle - 4 * (ratio - 1) * ratio * asked * errors, 0.0))
    return 2 * ratio * asked / (middle + root)


def lowest_share(ratio: float, asked: int, others: int, errors: int) -> float:
    """Least mean share of errors that odds of ``ratio`` or more allow."""
    of_rates = rate_share(ratio, asked / (asked + others))
    return min(of_rates, odds_share(ratio, asked, others, errors))


def highest_share(ratio: float, asked: int, others: int, errors: int) -> float:
    """Greatest mean share of errors that odds of ``ratio`` or less allow."""
    of_rates = rate_share(ratio, asked / (asked + others))
    return max(of_rates, odds_share(ratio, asked, others, errors))
