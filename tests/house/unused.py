"""Public names that nothing uses: not the package, its DAGs or its plugins. Tests do not count."""

from __future__ import annotations

import ast
import re

from house.figures import definitions
from vulture import Vulture

USERS = ("airflow_mlops", "dags", "plugins")
DOTTED = re.compile(r"(airflow_mlops(?:\.\w+)*)[.:](\w+)")  # as in an entry point, or what Airflow serialises


def unused(root):
    """Return module by name of what is not used: functions, classes, constants, methods, properties.

    A function or class is used if it is imported, asked of its module, named by a dotted text, or used in its
    own module by anything else; one of the same name elsewhere does not count. A method is used if any of its
    name is.
    """
    trees = {module_name(path, root): ast.parse(path.read_text()) for path in sources(root)}
    nodes = [node for tree in trees.values() for node in ast.walk(tree)]
    texts = {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    asked = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    used = {pair for module, tree in trees.items() for pair in uses(module, tree, trees)}
    used |= {
        pair for text in (*texts, (root / "pyproject.toml").read_text()) for pair in DOTTED.findall(text)
    }
    found = {
        (module, name)
        for module, tree in trees.items()
        for name, node in definitions(tree)
        if (module, name) not in used and not (is_constant(node) and name in asked) and name[0] != "_"
    }
    inside = {(module, name) for module, name in found if module.startswith("airflow_mlops")}
    return {name: module for module, name in (*inside, *unused_methods(root, texts))}


def sources(root):
    return sorted(path for user in USERS for path in (root / user).rglob("*.py"))


def module_name(path, root):
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def is_constant(node):
    return not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)


def uses(module, tree, known):
    """Yield module and name of what a module uses, itself included."""
    alias = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for name in node.names:
                yield node.module, name.name
                alias[name.asname or name.name] = f"{node.module}.{name.name}"
    for node in ast.walk(tree):
        asked = node.value if isinstance(node, ast.Attribute) else None
        if isinstance(asked, ast.Name) and alias.get(asked.id) in known:
            yield alias[asked.id], node.attr
    for statement in tree.body:
        loaded = {
            n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
        }
        yield from ((module, name) for name in loaded - {getattr(statement, "name", None)})


def unused_methods(root, texts):
    watch = Vulture()
    watch.scavenge(sources(root))
    for item in watch.get_unused_code():
        inside = item.filename.is_relative_to(root / "airflow_mlops")
        named = item.name.startswith("_") or item.name in texts
        if inside and item.typ in ("method", "property") and not named:
            yield module_name(item.filename, root), item.name
