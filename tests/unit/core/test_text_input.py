"""Text that people write: one reader, which names file and line."""

from __future__ import annotations

import pytest

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.text_input import utf8_text, yaml_document


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ("a: 1\nb: [x, y]\n", {"a": 1, "b": ["x", "y"]}),
        ("a: &a {c: 1, d: 2}\nb: {<<: *a, c: 3}\n", {"a": {"c": 1, "d": 2}, "b": {"c": 3, "d": 2}}),
        ("1: a\n'1': b\n", {1: "a", "1": "b"}),
        ("", None),
    ],
    ids=["plain", "merged keys may be overwritten", "a number is no text", "empty"],
)
def test_yaml_is_read_as_yaml_says(text, document):
    assert yaml_document(text, "m.yaml") == document


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1: key 'a' stands there twice, first in line 1"),
        ("a:\n  - {b: 1,\n     b: 2}\n", "line 3, column 6: key 'b' stands there twice, first in line 2"),
        ("? [1]\n: a\n? [1]\n: b\n", r"line 3, column 3: key \[1\] stands there twice, first in line 1"),
        ("a: 1\n\tb: 2\n", "line 2, column 1: found a tab character"),
        ("a: {}\n\tb: {}\n", r"line 2, column 1: '\\t' cannot start a value; .* indent with spaces"),
        ("schedule: @weekly\n", "line 1, column 11: '@' cannot start a value; write such text in quotes"),
        (
            "a: 1\n---\nb: 1\n",
            "line 2, column 1: expected a single document in the stream, but found another",
        ),
        ("a: 1\nb: \x07\n", "line 2: unacceptable character #x0007"),
        ("a: 1\nb: !python/name:os.system x\n", "line 2, column 4: could not determine a constructor"),
        ("a: 2013-02-30\n", "day "),
        ("[" * 20000, ""),
    ],
)
def test_mistake_in_yaml_is_named_with_its_line(text, named):
    with pytest.raises(InvalidConfigError, match=f"^m.yaml: no YAML: {named}"):
        yaml_document(text, "m.yaml")


def test_text_is_utf8_with_or_without_a_byte_order_mark():
    assert utf8_text(b"\xef\xbb\xbfGr\xc3\xb6\xc3\x9fe", "m.yaml") == "Größe"


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (
            "a: 1\nb: Größe".encode("latin-1"),
            "m.yaml: line 2: byte 0xf6 is not UTF-8, allowed: text in UTF-8",
        ),
        ("a: 1".encode("utf-16"), "m.yaml: line 1: byte 0xff is not UTF-8"),
    ],
    ids=["Latin-1", "UTF-16"],
)
def test_other_encoding_is_named_with_its_line(data, named):
    with pytest.raises(InvalidConfigError, match=named):
        utf8_text(data, "m.yaml")
