"""Rules of an HTTPRoute: which lead to an endpoint's Services, their weights, and the split to write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_mlops.backends.serving.remote.platform import Json

_ANSWERING_FILTERS = ("RequestRedirect", "ExtensionRef")


class RouteRules:
    """All rules of a route; those that lead to an endpoint's Services are split, others are left alone.

    Where none leads to them, those that lead nowhere and answer nothing themselves are to be filled.

    :param namespace: of the route; Services of another one are not the endpoint's.
    :param is_ours: whether a Service's name is one of the endpoint's.
    :param port: of a Service in a rule that names none yet.
    """

    def __init__(
        self, rules: list[Json], *, namespace: str, is_ours: Callable[[str], bool], port: int
    ) -> None:
        self.rules = rules
        self.namespace = namespace
        self.is_ours = is_ours
        self.port = port

    def weights(self) -> list[dict[str, int]]:
        """Return the weight of each Service, for each rule that is split.

        Others' backends without weight are left out: they get no requests, and are left as they are.
        """
        return [self._weights(self.rules[number]) for number in self._split_rules()]

    def split(self, wanted: dict[str, int]) -> list[Json]:
        """Return all rules, as a merge patch replaces the whole list; some have the wanted weights."""
        ours = self._split_rules()
        return [
            self._with_weights(rule, wanted) if number in ours else rule
            for number, rule in enumerate(self.rules)
        ]

    def _split_rules(self) -> list[int]:
        leading = [
            number for number, rule in enumerate(self.rules) if any(map(self._is_service, _backends(rule)))
        ]
        return leading or [number for number, rule in enumerate(self.rules) if _leads_nowhere(rule)]

    def _is_service(self, backend: Json) -> bool:
        here = backend.get("namespace", self.namespace) == self.namespace
        return here and backend.get("kind", "Service") == "Service" and self.is_ours(backend["name"])

    def _weights(self, rule: Json) -> dict[str, int]:
        found: dict[str, int] = {}
        for backend in _backends(rule):
            weight = backend.get("weight", 1)
            if self._is_service(backend):
                twice = backend["name"] in found
                found[f"{backend['name']}:{backend.get('port')}" if twice else backend["name"]] = weight
            elif weight:
                found[_place(backend)] = weight
        return found

    def _with_weights(self, rule: Json, wanted: dict[str, int]) -> Json:
        """Return a rule with a backend per Service; a new one is a copy of the one that has requests."""
        ours = {backend["name"]: backend for backend in _backends(rule) if self._is_service(backend)}
        others = [backend for backend in _backends(rule) if not self._is_service(backend)]
        serving = next((each for each in ours.values() if each.get("weight", 1)), {"port": self.port})
        split = [
            {**ours.get(name, serving), "name": name, "weight": weight} for name, weight in wanted.items()
        ]
        return {**rule, "backendRefs": [*split, *others]}


def _backends(rule: Json) -> list[Json]:
    found: list[Json] = rule.get("backendRefs") or []
    return found


def _leads_nowhere(rule: Json) -> bool:
    """Whether a rule has no backend, and no filter that answers in place of one."""
    filters: list[Any] = rule.get("filters") or []
    return not _backends(rule) and not any(each.get("type") in _ANSWERING_FILTERS for each in filters)


def _place(backend: Json) -> str:
    """Return another's backend by its name, and by kind and namespace where they are given."""
    return "/".join(str(backend[key]) for key in ("kind", "namespace", "name") if key in backend)
