"""Schema files: read with every mistake named, changed with comments kept, written whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.data.schema.schema import Rule, Schema, as_yaml, schema_from_yaml
from airflow_mlops.core.data.schema.schema_diff import evolved_rules
from airflow_mlops.core.errors import InvalidConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.data.schema.schema_diff import Change

WIDTH = 110


def read_schema(path: str) -> Schema:
    """Read a schema file.

    :raises InvalidConfigError: no such file, no text, no schema; names the place.
    """
    return schema_from_yaml(read_text(path), path)


def read_text(path: str) -> str:
    """Return a file's text.

    :raises InvalidConfigError: no such file, a directory, or not text in UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"{path}: byte {error.start} is not UTF-8, allowed: text in UTF-8"
        raise InvalidConfigError(msg) from error
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise InvalidConfigError(msg) from error


def write_text(path: str, text: str) -> None:
    """Write a file whole: a reader sees the old text or the new one.

    :raises InvalidConfigError: the folder is absent or cannot be written.
    """
    target = Path(path)
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(name).chmod(mode)
            Path(name).replace(target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                Path(name).unlink()
            raise
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise InvalidConfigError(msg) from error


def evolve_text(text: str, source: str, changes: Sequence[Change]) -> tuple[str, bool]:
    """Return the schema's text with these changes, and whether comments were kept.

    Only the changed lines are touched. Should the edited text not say exactly what the changed schema is,
    the schema is written anew, without comments.
    """
    old = schema_from_yaml(text, source)
    if not changes:
        return text, True
    rules = evolved_rules(old, changes)
    wanted = replace(old, expectations=tuple(rule for _, rule in rules))
    edited = _edited(text, dict(old.identified()), rules)
    if edited is not None:
        with contextlib.suppress(InvalidConfigError):
            if schema_from_yaml(edited, source) == wanted:
                return edited, True
    return wanted.to_yaml(), "#" not in text


def _edited(text: str, old: dict[str, Rule], wanted: Sequence[tuple[str, Rule]]) -> str | None:
    """Change the text's own nodes; ``None`` if the round-trip editor does not understand it."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    editor = YAML()
    editor.preserve_quotes, editor.width = True, WIDTH
    offset = _offset(text)
    editor.indent(mapping=2, sequence=2 + offset, offset=offset)
    try:
        document = editor.load(text)
        _carry_over(document["expectations"], old, wanted, editor)
        stream = io.StringIO()
        editor.dump(document, stream)
    except (YAMLError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return stream.getvalue()


def _offset(text: str) -> int:
    """Return by how much the file's own lists are indented."""
    lines = [line for line in text.splitlines() if line.lstrip().startswith("- ")]
    return min(2, len(lines[0]) - len(lines[0].lstrip())) if lines else 0


def _carry_over(nodes: Any, old: dict[str, Rule], wanted: Sequence[tuple[str, Rule]], editor: Any) -> None:
    """Make the list of nodes say what is wanted; a rule that stays is not touched."""
    there, kept = list(old), {name for name, _ in wanted}
    for index in reversed(range(len(there))):
        if there[index] not in kept:
            del nodes[index]
    for index, (name, rule) in enumerate(wanted):
        if old.get(name) != rule:
            fresh = editor.load(as_yaml(Schema(name="x", expectations=(rule,)).document()))["expectations"][0]
            if name in old:
                _replace(nodes[index], fresh)
            else:
                nodes.insert(index, fresh)


def _replace(node: Any, fresh: Any) -> None:
    """Give a node the fresh one's content; keys that stay keep their comments."""
    for key in [key for key in node if key not in fresh]:
        del node[key]
    for key, value in fresh.items():
        if isinstance(node.get(key), dict) and isinstance(value, dict):
            _replace(node[key], value)
        elif key not in node or node[key] != value:
            node[key] = value
