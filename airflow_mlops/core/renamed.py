"""Renamed names: importable by their old name for one release, with a deprecation warning."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def renamed(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a module some of whose names were renamed.

    :param module: the module's ``__name__``.
    :param names: old name to new name.
    """

    def find(name: str) -> Any:
        if name not in names:
            msg = f"module {module!r} has no attribute {name!r}"
            raise AttributeError(msg)
        msg = f"{module}.{name} is called {names[name]} now; the old name will be removed in the next release"
        warnings.warn(msg, DeprecationWarning, stacklevel=2)
        return getattr(sys.modules[module], names[name])

    return find
