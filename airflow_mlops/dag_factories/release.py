"""Configuration of what lies between validation and nomination: readiness, model card, approval."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.release.card import CARD_SECTIONS, Statement
from airflow_mlops.core.release.readiness import LoadPolicy, ReadinessPolicy
from airflow_mlops.dag_factories.checked import Duration, config, field_values
from airflow_mlops.moved import names_of


@config
class LoadConfig(LoadPolicy):
    """Requests at a steady rate, all of ``LoadPolicy``; ``seconds`` may be text like ``30s``."""

    seconds: Duration = 10.0


@config
class ReadinessConfig(ReadinessPolicy):
    """Limits of a version in its serving process, all of ``ReadinessPolicy``."""

    load: LoadConfig | None = None

    def policy(self) -> ReadinessPolicy:
        """Return the limits."""
        load = LoadPolicy(**field_values(self.load)) if self.load else None
        return ReadinessPolicy(**{**field_values(self), "load": load})


@config
class CardConfig:
    """What people say in the model card, and which sections must be filled before production.

    :param required: names of sections; see ``airflow_mlops.core.release.card.SECTIONS``.
    :param more: further sections: title to text.
    """

    required: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    intended_use: str = ""
    limitations: tuple[str, ...] = ()
    more: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a section that does not exist."""
        allowed = (*CARD_SECTIONS, *self.more)
        for name in self.required:
            if name not in allowed:
                msg = f"card.required: {name!r}, one of: {', '.join(allowed)}"
                raise InvalidConfigError(msg)

    def statement(self) -> Statement:
        """Return what people say."""
        return Statement(**{name: value for name, value in field_values(self).items() if name != "required"})


def _named(value: Any) -> Any:
    """Read approvers: user ids, or ids with the names that are shown."""
    return {str(one): str(one) for one in value} if isinstance(value, list | tuple) else value


@config
class ApprovalConfig:
    """Whether a person decides on a candidate, who, and what holds without an answer in time.

    :param when: ``auto`` never asks (and adds no task), ``on_warning`` if a verdict warns.
    :param approvers: who may answer: user ids, or id to name; every user who may edit the DAG if empty.
    :param default: what holds after ``timeout``.
    """

    when: Literal["required", "auto", "on_warning"] = "auto"
    approvers: Annotated[dict[str, str], BeforeValidator(_named)] = field(default_factory=dict)
    timeout: Duration = 7 * 86400.0
    default: Literal["approve", "reject"] = "reject"

    def __post_init__(self) -> None:
        """Refuse a form that closes before it can be answered."""
        if self.timeout <= 0:
            msg = f"approval.timeout: {self.timeout:g} s, allowed: above 0"
            raise InvalidConfigError(msg)


def approval_of(value: Any) -> Any:
    """Read ``approval: required`` as well as a mapping."""
    return {"when": value} if isinstance(value, str) else value


__getattr__ = names_of(__name__)
