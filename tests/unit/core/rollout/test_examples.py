"""What the docstrings and the how-to show is what comes out."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

HOW_TO = Path(__file__).parents[4] / "docs/how-to/canary.md"


@pytest.mark.parametrize("name", ["share", "rate", "prediction", "interval", "latency"])
def test_example_of_a_docstring_gives_what_it_shows(name):
    found = doctest.testmod(import_module(f"airflow_mlops.core.rollout.evidence.{name}"))
    assert found.attempted > 0
    assert found.failed == 0


def test_examples_of_the_how_to_give_what_they_show():
    found = doctest.testfile(str(HOW_TO), module_relative=False)
    assert found.attempted > 0
    assert found.failed == 0
