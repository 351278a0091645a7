"""Schema files: validated on reading, edited with comments kept."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.backends.rules.gx_signatures import gx_signature
from airflow_mlops.backends.text_file import read_utf8
from airflow_mlops.core.data.schema.diff import apply_changes
from airflow_mlops.core.data.schema.schema import Schema, as_yaml, schema_from_yaml
from airflow_mlops.core.errors import InvalidConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_mlops.core.data.expectations.rule import Rule
    from airflow_mlops.core.data.schema.diff import Change

_WIDTH = 110


def read_schema(path: str) -> Schema:
    """Read a schema file.

    :raises InvalidConfigError: no such file, no text, no schema; names the place.
    """
    return parse_schema(read_utf8(path), path)


def parse_schema(text: str, source: str) -> Schema:
    """Read a schema's text and check arguments against the signatures of Great Expectations.

    :param source: name of the file, for messages.
    :raises InvalidConfigError: as :func:`schema_from_yaml` does.
    """
    return schema_from_yaml(text, source, gx_signature)


def evolve_text(text: str, source: str, changes: Sequence[Change]) -> tuple[str, bool]:
    """Return the schema's text with these changes, and whether comments were kept.

    A round-trip edit touches only the changed lines. If the edited text does not parse to exactly the changed
    schema, the schema is serialised anew, without comments.
    """
    old = parse_schema(text, source)
    if not changes:
        return text, True
    rules = apply_changes(old, changes)
    wanted = replace(old, expectations=tuple(rule for _, rule in rules))
    for edited in _edited(text, dict(old.identified()), rules):
        with contextlib.suppress(InvalidConfigError):
            if parse_schema(edited, source) == wanted:
                return edited, True
    return wanted.to_yaml(), "#" not in text


def _edited(text: str, old: dict[str, Rule], wanted: Sequence[tuple[str, Rule]]) -> Iterator[str]:
    """Edit the text's nodes in place; nothing if the round-trip editor cannot.

    The editor wraps long lines anew, so the lines of unchanged rules are taken from the text where each rule
    has lines of its own.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    editor = YAML()
    editor.preserve_quotes, editor.width = True, _WIDTH
    offset = _offset(text)
    editor.indent(mapping=2, sequence=2 + offset, offset=offset)
    try:
        before = _rule_lines(text, editor.load(text))
        document = editor.load(text)
        _carry_over(document["expectations"], old, wanted, editor)
        stream = io.StringIO()
        editor.dump(document, stream)
        edited = stream.getvalue()
        after = _rule_lines(edited, editor.load(edited))
    except (YAMLError, ValueError, TypeError, KeyError, AttributeError):
        return
    if before and after:
        yield _spliced(before, after, old, wanted)
    yield edited


class _RuleLines(NamedTuple):
    """A schema's text, cut: what comes before the rules, each rule's lines, and what comes after them."""

    head: str
    rules: list[str]
    tail: str


def _rule_lines(text: str, document: Any) -> _RuleLines | None:
    """Cut a text by its rules; ``None`` unless each has lines of its own."""
    rules = document["expectations"]
    starts = [rules.lc.item(index)[0] for index in range(len(rules))]
    keys = list(document)
    following = keys[keys.index("expectations") + 1 :]
    lines = text.splitlines(keepends=True)
    end = document.lc.key(following[0])[0] if following else len(lines)
    if any(not lines[line].lstrip().startswith("- ") for line in starts) or starts != sorted(set(starts)):
        return None
    cuts = [*starts, end]
    parts = ["".join(lines[a:b]) for a, b in pairwise(cuts)]
    return _RuleLines("".join(lines[: starts[0]]), parts, "".join(lines[end:]))


def _spliced(
    before: _RuleLines, after: _RuleLines, old: dict[str, Rule], wanted: Sequence[tuple[str, Rule]]
) -> str:
    """Return the edited text with the original lines of what did not change."""
    there = dict(zip(old, before.rules, strict=True))
    parts = [
        there[name] if old.get(name) == rule else lines
        for (name, rule), lines in zip(wanted, after.rules, strict=True)
    ]
    return before.head + "".join(parts) + before.tail


def _offset(text: str) -> int:
    """Return the indentation of the file's lists."""
    lines = [line for line in text.splitlines() if line.lstrip().startswith("- ")]
    return min(2, len(lines[0]) - len(lines[0].lstrip())) if lines else 0


def _carry_over(nodes: Any, old: dict[str, Rule], wanted: Sequence[tuple[str, Rule]], editor: Any) -> None:
    """Update the list of nodes to the wanted rules; nodes of unchanged rules are not touched."""
    there, kept = list(old), {name for name, _ in wanted}
    for index in reversed(range(len(there))):
        if there[index] not in kept:
            del nodes[index]
    for index, (name, rule) in enumerate(wanted):
        if old.get(name) != rule:
            fresh = editor.load(as_yaml(Schema(name="x", expectations=(rule,)).document()))["expectations"][0]
            if name in old:
                if "severity" not in nodes[index] and rule.severity is old[name].severity:
                    del fresh["severity"]
                _replace(nodes[index], fresh)
            else:
                nodes.insert(index, fresh)


def _replace(node: Any, fresh: Any) -> None:
    """Replace a node's content; keys that remain keep their comments."""
    for key in [key for key in node if key not in fresh]:
        del node[key]
    for key, value in fresh.items():
        if isinstance(node.get(key), dict) and isinstance(value, dict):
            _replace(node[key], value)
        elif key not in node or node[key] != value:
            node[key] = value
