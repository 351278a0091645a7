"""Text that people write: UTF-8 and YAML turned into plain data; a mistake is named with file and line."""

from __future__ import annotations

from typing import Any

import yaml

from airflow_mlops.core.errors import InvalidConfigError

_MERGE = "tag:yaml.org,2002:merge"
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C, where PyYAML was built with it


class _Loader(_Base):
    """Safe loader that refuses a key that stands twice; YAML itself takes the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - YAML's own signature
        first: dict[str, yaml.Node] = {}
        for key, _ in node.value:
            if key.tag == _MERGE:
                continue
            name = repr(self.construct_object(key, deep=True))
            if first.setdefault(name, key) is not key:
                problem = f"key {name} stands there twice, first in line {first[name].start_mark.line + 1}"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def utf8_text(data: bytes, source: str) -> str:
    """Return the text of bytes in UTF-8, without a byte order mark.

    :param source: name of the file, for messages.
    :raises InvalidConfigError: another encoding, e.g. Latin-1; names the line.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        msg = f"{source}: line {line}: byte {data[error.start]:#x} is not UTF-8, allowed: text in UTF-8"
        raise InvalidConfigError(msg) from error


def yaml_document(text: str, source: str) -> Any:
    """Return the plain data of a YAML text; the one reader of YAML for every file that people write.

    :param source: name of the file, for messages.
    :raises InvalidConfigError: no YAML, a key twice, an unknown tag or date; names line and column.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        msg = f"{source}: no YAML: {_place(error, text)}{_problem(error, text)}"
        raise InvalidConfigError(msg) from error


def _problem(error: Exception, text: str) -> str:
    problem: str = getattr(error, "problem", None) or " ".join(str(error).partition("\n")[0].split())
    if "cannot start any token" in problem:
        mark = error.problem_mark  # type: ignore[attr-defined]
        found = text.splitlines()[mark.line][mark.column]
        return f"{found!r} cannot start a value; write such text in quotes, and indent with spaces"
    goes_on = problem.startswith("but ")
    return f"{getattr(error, 'context', '')}, {problem}" if goes_on else problem


def _place(error: Exception, text: str) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"line {mark.line + 1}, column {mark.column + 1}: "
    position = getattr(error, "position", None)
    return "" if position is None else f"line {text.count(chr(10), 0, position) + 1}: "
