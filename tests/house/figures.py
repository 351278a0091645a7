"""The house in figures: `python tests/house/figures.py [CHECKOUT]` prints them."""

from __future__ import annotations

import ast
import sys
from collections import Counter, defaultdict
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
NOT_COUNTED = ("__init__.py", "conftest.py")  # one per folder, whatever is in it


def modules(folder):
    return sorted(path for path in folder.rglob("*.py") if path.name not in NOT_COUNTED)


def modules_by_folder(root, tops=("airflow_mlops", "tests")):
    """Return how many modules each folder holds itself, the fullest first."""
    found = [path.parent.relative_to(root) for top in tops for path in modules(root / top)]
    return Counter(str(folder) for folder in found).most_common()


def lines(path):
    return len(path.read_text().splitlines())


def definitions(tree):
    """Yield name and node of what a module defines at its top: functions, classes, what is assigned."""
    for node in top_level(tree.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            for part in ast.walk(target) if target else ():
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                    yield part.id, node


def top_level(body):
    """Yield the statements of a module; those under `if`, `try` and `with`, too."""
    for node in body:
        yield node
        for block in ("body", "orelse", "finalbody", "handlers"):
            if isinstance(node, ast.If | ast.Try | ast.With | ast.ExceptHandler):
                yield from top_level(getattr(node, block, []))


def defined_twice(root):
    """Return the modules of every public name that more than one module defines."""
    places = defaultdict(set)
    for path in (root / "airflow_mlops").rglob("*.py"):
        for name, _ in definitions(ast.parse(path.read_text())):
            if not name.startswith("_"):
                places[name].add(str(path.relative_to(root)))
    return {name: sorted(found) for name, found in sorted(places.items()) if len(found) > 1}


def figures(root):
    package = root / "airflow_mlops"
    rooms, (fullest, most) = modules(package), modules_by_folder(root, ("airflow_mlops",))[0]
    return {
        "modules": len(rooms),
        "lines": sum(lines(path) for path in package.rglob("*.py")),
        "median lines": median(map(lines, rooms)),
        "names defined twice": len(defined_twice(root)),
        "largest folder": f"{most} ({fullest})",
    }


if __name__ == "__main__":
    found = figures(Path(sys.argv[1]) if sys.argv[1:] else ROOT)
    print("\n".join(f"{label:20} {value}" for label, value in found.items()))
