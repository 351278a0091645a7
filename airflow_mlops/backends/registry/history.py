"""Read a model's ledger over MLflow's REST interface: for processes that must not set variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.registry.ledger_text import SUFFIX, decisions_of, ends_of, rows_of, valid
from airflow_mlops.backends.registry.mlflow_ledger import OLDEST_FIRST, safe_name
from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS, DecisionEntry, LedgerEntry
from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.end import RolloutEnd

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from airflow_mlops.backends.mlflow_server import MlflowServer

_PAGE = "200"


@dataclass(frozen=True, slots=True, kw_only=True)
class History(Record):
    """Champion and ledger of a model; all lists oldest first.

    :param champion: version that the alias points to now, also if it was moved by hand.
    """

    model: str
    champion: str | None = None
    changes: tuple[LedgerEntry, ...] = ()
    decisions: tuple[DecisionEntry, ...] = ()
    ends: tuple[RolloutEnd, ...] = ()


async def read_history(server: MlflowServer, model: str) -> History | None:
    """Return a model's history; ``None`` for a model that MLflow does not know.

    :raises ServiceUnavailableError: MLflow does not answer.
    :raises InvalidRecordError: an entry was changed by hand.
    """
    found = await server.ask("registered-models/get", name=safe_name(model))
    if found is None:
        return None
    registered = found.get("registered_model", {})
    aliases = {one["alias"]: str(one["version"]) for one in registered.get("aliases", ())}
    numbered = await numbered_tags(server, model)
    return History(
        model=model,
        champion=aliases.get(CHAMPION_ALIAS),
        changes=tuple(valid(rows_of(model, numbered, _tags(registered)))),
        decisions=tuple(decisions_of(model, numbered)),
        ends=tuple(ends_of(model, numbered)),
    )


async def numbered_tags(server: MlflowServer, model: str) -> dict[int, dict[str, str]]:
    """Return the tags of a ledger's entries by their number; none for a model without a ledger.

    :raises ServiceUnavailableError: MLflow does not answer.
    """
    where = f"name = '{safe_name(model)}{SUFFIX}'"
    listed = _pages(server, "model-versions/search", "model_versions", where, order_by=OLDEST_FIRST)
    return {int(one["version"]): _tags(one) async for one in listed}


async def models_with_a_ledger(server: MlflowServer) -> list[str]:
    """Return the names of the models that have a ledger, in order.

    :raises ServiceUnavailableError: MLflow does not answer.
    """
    where = f"name LIKE '%{SUFFIX}'"
    listed = _pages(server, "registered-models/search", "registered_models", where)
    return sorted([str(one["name"]).removesuffix(SUFFIX) async for one in listed])


async def _pages(
    server: MlflowServer, path: str, key: str, where: str, **options: str
) -> AsyncIterator[dict[str, Any]]:
    """Yield all results of a search, page by page."""
    token = ""
    while True:
        more = {"page_token": token} if token else {}
        page = await server.ask(path, filter=where, max_results=_PAGE, **options, **more) or {}
        for one in page.get(key, ()):
            yield one
        token = page.get("next_page_token", "")
        if not token:
            return


def _tags(found: Mapping[str, Any]) -> dict[str, str]:
    return {str(tag["key"]): str(tag["value"]) for tag in found.get("tags", ())}
