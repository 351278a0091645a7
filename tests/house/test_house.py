"""What keeps the house fit to live in; import-linter and deptry check the imports beside it."""

from __future__ import annotations

import re

from house import figures
from house.unused import unused

FOLDERS = ("airflow_mlops", "benchmarks", "dags", "plugins", "tests")
TESTS = figures.ROOT / "tests"
MOST_MODULES = 15
MOST_LINES = 400

TWICE = {
    "main": "what `python -m` or the entry point of a program calls",
}

UNUSED = {
    "CheckExtractionOperator": "for DAGs written by hand: docs/how-to/validation.md",
    "InMemoryEvidence": "for tests of what is written against the protocol",
    "InMemoryRegistry": "for tests of what is written against the protocol",
    "InMemoryServing": "for tests of what is written against the protocol",
    "ModelRegistryTrigger": "for DAGs written by hand: docs/how-to/ledger.md",
    "create_module": "the import system calls it",
    "describe_window": "for programs: docs/how-to/profile.md",
    "exec_module": "the import system calls it",
    "fastapi_apps": "Airflow reads it of a plugin",
    "from_suite": "for programs: docs/how-to/schema.md",
    "get_conn": "Airflow's interface of a hook",
    "get_link": "Airflow calls it of an operator's link",
    "get_openlineage_facets_on_complete": "Airflow's OpenLineage listener calls it",
    "get_openlineage_facets_on_failure": "Airflow's OpenLineage listener calls it",
    "latencies": "for programs: docs/how-to/canary.md",
    "new_input": "pyiceberg calls it of a file system",
    "new_output": "pyiceberg calls it of a file system",
    "preload": "the demo's sitecustomize, a text, calls it",
    "test_connection": "Airflow's button calls it",
    "to_suite": "for programs: docs/how-to/schema.md",
}


def none_of(problems):
    assert not problems, "\n".join(problems)


def test_no_folder_holds_more_than_fifteen_modules():
    """Not counted: __init__ and conftest, of which every folder has one at most."""
    found = figures.modules_by_folder(figures.ROOT)
    none_of([f"{folder}: {count} modules" for folder, count in found if count > MOST_MODULES])


def test_no_module_has_more_than_four_hundred_lines():
    files = [path for folder in FOLDERS for path in (figures.ROOT / folder).rglob("*.py")]
    found = {path: figures.lines(path) for path in files}
    none_of([f"{path}: {count} lines" for path, count in found.items() if count > MOST_LINES])


def test_no_public_name_is_defined_twice():
    found = figures.defined_twice(figures.ROOT)
    none_of([f"{name}: {', '.join(places)}" for name, places in found.items() if name not in TWICE])
    none_of([f"{name}: defined once, strike it off the list" for name in set(TWICE) - set(found)])


def test_every_public_name_is_used():
    found = unused(figures.ROOT)
    none_of([f"{module}: {name} is used by nothing" for name, module in found.items() if name not in UNUSED])
    none_of([f"{name}: used or gone, strike it off the list" for name in set(UNUSED) - set(found)])


def test_no_unit_test_sleeps():
    """Time is an argument or a fake clock; tests of real processes wait in tests/support/processes.py."""
    asleep = re.compile(r"\b(time|asyncio)\.sleep\(|from time import sleep")
    files = [path for folder in ("unit", "dags", "contracts") for path in (TESTS / folder).rglob("*.py")]
    none_of([f"{path}: sleeps" for path in files if asleep.search(path.read_text())])
