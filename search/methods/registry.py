"""Which methods there are."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import search.methods
from cellzoo.errors import CellzooError, unknown

if TYPE_CHECKING:
    from search.methods.kind import MethodKind

GROUP = "cellzoo.methods"


@cache
def kinds() -> dict[str, MethodKind]:
    """All methods by name: the files of this folder, and the entry points `cellzoo.methods`.

    Raises:
        CellzooError: Two have one name.
    """
    modules = (
        import_module(f"{search.methods.__name__}.{module.name}")
        for module in pkgutil.iter_modules(search.methods.__path__)
    )
    offered = [module.METHOD for module in modules if hasattr(module, "METHOD")]
    offered += [point.load() for point in entry_points(group=GROUP)]
    found: dict[str, MethodKind] = {}
    for kind in offered:
        if found.setdefault(kind.name, kind) is not kind:
            raise CellzooError(f"two methods are called {kind.name!r}")
    return dict(sorted(found.items()))


def find_method(name: str) -> MethodKind:
    """Return the method of a name.

    Raises:
        UnknownNameError: No such method.
    """
    if name not in kinds():
        raise unknown("method", name[:80], kinds())
    return kinds()[name]
