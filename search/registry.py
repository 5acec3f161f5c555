"""Which methods there are: those that train a supernet, and samplers, in one list for users."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, TypeAlias

import search.methods
import search.samplers
from cellzoo.errors import CellzooError, unknown
from search.methods.kind import MethodKind
from search.samplers.kind import SamplerKind

if TYPE_CHECKING:
    from collections.abc import Iterable

GROUP = "cellzoo.methods"
Kind: TypeAlias = MethodKind | SamplerKind


@cache
def kinds() -> dict[str, Kind]:
    """All methods and samplers by name: the files of their folders, and the entry points `cellzoo.methods`.

    Raises:
        CellzooError: Two have one name.
    """
    found: dict[str, Kind] = {}
    for kind in [*_own(), *_offered()]:
        if found.setdefault(kind.name, kind) is not kind:
            raise CellzooError(f"two methods are called {kind.name!r}")
    return dict(sorted(found.items()))


def find_method(name: str) -> Kind:
    """Return the method or sampler of a name.

    Raises:
        UnknownNameError: No such method.
    """
    if name not in kinds():
        raise unknown("method", name[:80], kinds())
    return kinds()[name]


def _own() -> Iterable[Kind]:
    for folder, attribute in ((search.methods, "METHOD"), (search.samplers, "SAMPLER")):
        for module in pkgutil.iter_modules(folder.__path__):
            loaded = import_module(f"{folder.__name__}.{module.name}")
            if hasattr(loaded, attribute):
                yield getattr(loaded, attribute)


def _offered() -> Iterable[Kind]:
    for point in entry_points(group=GROUP):
        kind = point.load()
        if not isinstance(kind, MethodKind | SamplerKind):
            raise CellzooError(f"entry point {point.value}: is not a MethodKind or SamplerKind")
        yield kind
