"""Records: frozen dataclasses that travel as plain JSON (XCom, asset events, artifacts)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Self, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from airflow_mlops.core.errors import InvalidRecordError

if TYPE_CHECKING:
    from collections.abc import Mapping


_BEYOND_64_BITS = 2**63


@cache
def _adapter(cls: Any) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


def _portable(data: Any) -> Any:
    """Write numbers that a database or msgpack would change as text, which is read back as numbers.

    Postgres's JSON turns 1e25 into an integer, which Airflow cannot hand to a task, and refuses infinity.
    """
    if isinstance(data, dict):
        return {key: _portable(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_portable(value) for value in data]
    if isinstance(data, float | int) and not abs(data) < _BEYOND_64_BITS:
        return repr(data)
    return data


class Record:
    """Base of results and hand-overs.

    Unknown keys are ignored, so a newer writer does not break an older reader; unknown enum values
    and wrong types are rejected. A field that was renamed keeps its key in JSON by an alias.
    """

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types only: what XCom and asset events may carry."""
        data: dict[str, Any] = _portable(self.to_document())
        return data

    def to_document(self) -> dict[str, Any]:
        """Return the same for a file of our own, with every number as it is.

        Two steps, since in one pydantic writes an infinity as null where any value may stand, as in a rule.
        """
        adapter = _adapter(cast("Any", type(self)))
        plain = adapter.dump_python(self, by_alias=True)
        data: dict[str, Any] = to_jsonable_python(plain, inf_nan_mode="constants")
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote.

        :raises InvalidRecordError: names each field that is missing or wrong.
        """
        try:
            record: Self = _adapter(cast("Any", cls)).validate_python(data)
        except ValidationError as error:
            fields = "; ".join(
                f"{'.'.join(map(str, e['loc'])) or 'record'}: {e['msg']}" for e in error.errors()
            )
            msg = f"not a {cls.__name__}: {fields}"
            raise InvalidRecordError(msg) from error
        return record
