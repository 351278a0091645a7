"""The checks of the house find what they are for, in a house of a few lines."""

from __future__ import annotations

import pytest
from house import figures
from house.unused import unused

FILES = {
    "pyproject.toml": '[project.scripts]\nprogram = "airflow_mlops.cli:main"\n',
    "airflow_mlops/__init__.py": "",
    "airflow_mlops/cli.py": """
from airflow_mlops import machine, other
from airflow_mlops.machine import Machine

LIMIT, _OWN = 3, 4


def main():
    return machine.start(Machine(), other.limits()), LIMIT, getattr(machine, "halt_slowly")()
""",
    "airflow_mlops/machine.py": """
import typing

if typing.TYPE_CHECKING:
    LIMIT = 5


class Machine:
    def go(self):
        return self.promote()

    def promote(self):
        return 1

    def stop(self):
        return self._halt()

    def halt_slowly(self):
        return 2

    def _halt(self):
        return 3


def start(engine, limits):
    return engine.go(), limits


def promote():
    return promote()
""",
    "airflow_mlops/other.py": """
NEVER = 1
SEEN = 2


def limits():
    return limits_of(SEEN)


def limits_of(seen):
    return seen


class Link:
    pass


NAMED = "airflow_mlops.other.Link"
print(NAMED)
""",
    "dags/flights.py": "from airflow_mlops.other import limits\n",
    "tests/test_machine.py": "from airflow_mlops.other import NEVER\n",
}


@pytest.fixture
def house(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_name_is_unused_though_another_of_that_name_is_used(house):
    """Not ``Machine.promote``, which is called, nor what a text or an entry point names."""
    assert unused(house) == {
        "LIMIT": "airflow_mlops.machine",
        "promote": "airflow_mlops.machine",
        "stop": "airflow_mlops.machine",
        "NEVER": "airflow_mlops.other",
    }


def test_assigned_names_count_wherever_they_stand_at_the_top_and_private_ones_do_not(house):
    assert figures.defined_twice(house) == {"LIMIT": ["airflow_mlops/cli.py", "airflow_mlops/machine.py"]}


def test_figures_leave_out_what_every_folder_has(house):
    found = figures.figures(house)
    assert (found["modules"], found["names defined twice"]) == (3, 1)
    assert found["largest folder"] == "3 (airflow_mlops)"
    assert dict(figures.modules_by_folder(house)) == {"airflow_mlops": 3, "tests": 1}
