"""Strictness: whether a changed argument makes a rule allow more or less."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.data.expectations.rule import ENVIRONMENTS
from airflow_mlops.core.verdict import Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Effect(StrEnum):
    """What a change does to what a schema allows."""

    LOOSENS = "loosens"
    TIGHTENS = "tightens"
    BOTH = "loosens and tightens"
    UNCLEAR = "unclear"


def effect_of(expectation: str, key: str, old: Any, new: Any) -> Effect:
    """Say what a changed argument does.

    :param old: ``None`` where the argument was absent, ``new`` likewise.
    """
    judge = _JUDGES.get(key)
    if judge is None:
        return Effect.UNCLEAR
    try:
        effect = judge(old, new)
    except TypeError:
        return Effect.UNCLEAR
    return _turned(effect) if key == "value_set" and _demands_set(expectation) else effect


def together(effects: Iterable[Effect]) -> Effect:
    """Say what several changes of one rule do together."""
    found = set(effects)
    if Effect.UNCLEAR in found or not found:
        return Effect.UNCLEAR
    return found.pop() if len(found) == 1 else Effect.BOTH


def _demands_set(expectation: str) -> bool:
    """Say whether more values in the set allow less."""
    return "not_be_in_set" in expectation or "contain_set" in expectation


def _turned(effect: Effect) -> Effect:
    return {Effect.LOOSENS: Effect.TIGHTENS, Effect.TIGHTENS: Effect.LOOSENS}.get(effect, effect)


def _loosens(yes: bool) -> Effect:  # noqa: FBT001 - private
    return Effect.LOOSENS if yes else Effect.TIGHTENS


def _lower_limit(old: Any, new: Any) -> Effect:
    return _loosens(new is None or (old is not None and new < old))


def _upper_limit(old: Any, new: Any) -> Effect:
    return _loosens(new is None or (old is not None and new > old))


def _share(old: Any, new: Any) -> Effect:
    return _loosens((1.0 if new is None else new) < (1.0 if old is None else old))


def _flag(old: Any, new: Any) -> Effect:
    return _loosens(bool(old) and not new)


def _allowed(old: Any, new: Any) -> Effect:
    if not isinstance(old, list) or not isinstance(new, list):
        return Effect.UNCLEAR
    more, less = any(v not in old for v in new), any(v not in new for v in old)
    return Effect.BOTH if more and less else _loosens(more)


def _severity(old: Any, new: Any) -> Effect:
    ranks = [str(severity) for severity in Severity]
    return _loosens(ranks.index(str(new)) < ranks.index(str(old)))


def _environments(old: Any, new: Any) -> Effect:
    gone, come = ([e for e in ENVIRONMENTS if e in a and e not in b] for a, b in ((old, new), (new, old)))
    return Effect.BOTH if gone and come else _loosens(bool(gone))


_JUDGES: dict[str, Callable[[Any, Any], Effect]] = {
    "min_value": _lower_limit,
    "max_value": _upper_limit,
    "mostly": _share,
    "strict_min": _flag,
    "strict_max": _flag,
    "strictly": _flag,
    "exact_match": _flag,
    "value_set": _allowed,
    "type_list": _allowed,
    "severity": _severity,
    "environments": _environments,
}
