"""The function that docs/how-to/task-flow.md shows does what the text says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import AirflowFailException

TEXT = (Path(__file__).parents[2] / "docs" / "how-to" / "task-flow.md").read_text()


@pytest.fixture(scope="module")
def check():
    names = {}
    block = re.search(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)[1]
    assert len(block.splitlines()) <= 30
    exec(compile(block, "task-flow", "exec"), names)  # noqa: S102 - our own document
    return names["check"].function


@pytest.fixture
def lake(tmp_path):
    for month, shift in (("2026-10", 0.0), ("2026-11", 0.0), ("2026-12", 5.0)):
        numbers = pa.table({"x": [shift + i % 97 / 10 for i in range(2000)]})
        pq.write_table(numbers, tmp_path / f"{month}.parquet")
    rule = {"type": "expect_column_max_to_be_between", "kwargs": {"column": "x", "max_value": 20}}
    (tmp_path / "schema.yaml").write_text(json.dumps({"name": "m", "expectations": [rule]}))
    return tmp_path


@pytest.mark.parametrize(("month", "outcome"), [("2026-11", "pass"), ("2026-12", "fail")])
def test_function_answers_with_the_verdict_of_skew(check, lake, month, outcome):
    assert check(str(lake), month, str(lake / "schema.yaml"))["outcome"] == outcome


def test_function_fails_without_retry_when_the_schema_is_broken(check, lake):
    schema = lake / "schema.yaml"
    schema.write_text(schema.read_text().replace("20", "1"))
    with pytest.raises(AirflowFailException, match="schema: fail: x"):
        check(str(lake), "2026-11", str(schema))
