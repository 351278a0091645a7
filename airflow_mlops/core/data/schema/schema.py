"""Schema: what data must look like, as a Great Expectations suite that people edit as YAML.

``text`` checks what people wrote, ``infer`` proposes a schema from a profile, ``diff`` compares two. Rules
are evaluated on a profile (``expectations``) as far as possible, else on rows (``backends.rules``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from airflow_mlops.core.data.expectations.rule import Rule
from airflow_mlops.core.data.schema.text import read_document
from airflow_mlops.core.errors import InvalidConfigError, InvalidRecordError
from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mlops.core.data.expectations.signatures import SignatureLookup

_LINE_ENDS = ("\x85", "\u2028", "\u2029")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema(Record):
    """A named list of rules."""

    name: str
    expectations: tuple[Rule, ...]
    meta: dict[str, Any] = field(default_factory=dict)
    notes: str | list[str] | None = None
    id: str | None = None
    suite_parameters: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the suite as plain data, without empty values."""
        data = self.to_document()
        data["expectations"] = [_without_empty(rule, ("kwargs",)) for rule in data["expectations"]]
        return _without_empty(data)

    def to_yaml(self) -> str:
        """Return the suite as YAML that people edit and Great Expectations loads."""
        return as_yaml(self.document())

    def identified(self) -> Iterator[tuple[str, Rule]]:
        """Return each rule with a name that stays the same when its limits change: ``type:column``.

        The second rule of the same type on the same column is ``type:column#2``, and so on.
        """
        seen: dict[str, int] = {}
        for rule in self.expectations:
            name = f"{rule.type}:{rule.subject}"
            seen[name] = seen.get(name, 0) + 1
            yield (name if seen[name] == 1 else f"{name}#{seen[name]}"), rule


def as_yaml(data: Any) -> str:
    """Return plain data as YAML in the order given, short lists and mappings on one line."""
    text: str = yaml.dump(
        data, Dumper=_Dumper, default_flow_style=None, sort_keys=False, allow_unicode=True, width=110
    )
    return text


class _Dumper(yaml.SafeDumper):
    """Safe dumper that escapes characters which YAML reads as line ends."""


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = '"' if any(mark in text for mark in _LINE_ENDS) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def schema_from_yaml(text: str, source: str, signature_of: SignatureLookup) -> Schema:
    """Read a suite that people may have edited, or that Great Expectations wrote as JSON.

    :param source: name of the file, for messages.
    :param signature_of: arguments of an expectation, by which its rules are checked.
    :raises InvalidConfigError: no YAML, an unknown or missing key or argument, a wrong value, a rule twice;
        names the place and what is allowed.
    """
    document = read_document(text, source, signature_of)
    try:
        return Schema.from_json(document)
    except InvalidRecordError as error:
        msg = f"{source}: {error}"
        raise InvalidConfigError(msg) from error


def _without_empty(data: dict[str, Any], kept: tuple[str, ...] = ()) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key in kept or value not in (None, {})}
