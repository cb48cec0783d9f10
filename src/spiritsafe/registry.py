"""Finds extensions: the files of a room, then the entry points of installed packages.

File name = function name = id = docs page. A room's extension is a function with the name of its file; an entry
point in the group ``spiritsafe.<room>`` adds one from outside. Names that begin with ``_`` are not extensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from spiritsafe.errors import ExtensionError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


@dataclass(frozen=True, slots=True)
class Extension:
    """One extension: its id, its function, and the module that holds its other declarations."""

    id: str
    function: Callable[..., object]
    module: ModuleType

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (self.function.__doc__ or "").strip().partition("\n")[0]


@cache
def extensions(room: str) -> dict[str, Extension]:
    """All extensions of ``room`` ("signals", "sources", …), by id, sorted.

    Raises ExtensionError when a file has no function of its own name or two extensions share an id.
    """
    package = import_module(f"spiritsafe.{room}")
    found: dict[str, Extension] = {}
    for info in iter_modules(package.__path__):
        if not info.name.startswith("_"):
            _add(found, info.name, import_module(f"{package.__name__}.{info.name}"), room)
    for point in entry_points(group=f"spiritsafe.{room}"):
        _add(found, point.name, import_module(point.module), room)
    return dict(sorted(found.items()))


def _add(found: dict[str, Extension], name: str, module: ModuleType, room: str) -> None:
    function = getattr(module, name, None)
    if not callable(function):
        raise ExtensionError(
            f"{room}/{name} has no function called {name}", hint="name the function after its file"
        )
    if name in found:
        raise ExtensionError(f"two {room} are called {name}", hint="rename one of them")
    found[name] = Extension(name, function, module)
