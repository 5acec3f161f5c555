"""The registry of search methods: those that train a supernet, and samplers.

A method is a file of `search/methods` with a `METHOD`, or of `search/samplers` with a `SAMPLER`, named like the
file (`random_ws.py` is `random-ws`); or an entry point `cellzoo.methods` of another package. A method is
imported only when it is used.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING, TypeAlias

from cellzoo.errors import CellzooError, unknown
from cellzoo.system.plugins import leave_out, registered

if TYPE_CHECKING:
    from search.methods.kind import MethodKind
    from search.samplers.kind import SamplerKind

    Kind: TypeAlias = MethodKind | SamplerKind

GROUP = "cellzoo.methods"
_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_PRESET = ".toml"
_FOLDERS = {"search.methods": "METHOD", "search.samplers": "SAMPLER"}


@cache
def method_targets() -> dict[str, str]:
    """All methods and samplers: name -> `module:attribute`, sorted; imports none of them.

    A method of another package whose name is taken is reported on standard error and left out.
    """
    targets: dict[str, str] = {}
    for package, attribute in _FOLDERS.items():
        for file in files(package).iterdir():
            if file.name.endswith(".py") and re.search(rf"^{attribute} = ", file.read_text("utf-8"), re.M):
                module = file.name.removesuffix(".py")
                targets[module.replace("_", "-")] = f"{package}.{module}:{attribute}"
    for plugin in registered(GROUP):
        first = targets.setdefault(plugin.name, plugin.target)
        if first != plugin.target:
            leave_out(GROUP, plugin.name, plugin.package, f"there is a method of that name: {first}")
    return dict(sorted(targets.items()))


def method_names() -> list[str]:
    """Names of all methods and samplers, sorted."""
    return list(method_targets())


def preset_names() -> list[str]:
    """Names of the presets (`search.run.presets`), sorted."""
    found = (resource.name for resource in files("search").joinpath("presets").iterdir())
    return sorted(name.removesuffix(_PRESET) for name in found if name.endswith(_PRESET))


@cache
def find_method(name: str) -> Kind:
    """Import a method or sampler by its name, or by `module:ATTRIBUTE`.

    Raises:
        UnknownNameError: There is no such method.
        CellzooError: It cannot be imported, or is not a method.
    """
    from search.methods.kind import MethodKind
    from search.samplers.kind import SamplerKind

    targets = method_targets()
    if name not in targets and not _TARGET.fullmatch(name):
        raise unknown("method", name[:80], targets)
    target = targets.get(name, name)
    module, _, attribute = target.partition(":")
    try:
        kind = getattr(import_module(module), attribute)
    except (Exception, SystemExit) as error:
        raise CellzooError(
            f"method {name!r}: {target} fails at import: {type(error).__name__}: {error!s:.300}"
        ) from error
    if not isinstance(kind, MethodKind | SamplerKind) or (name in targets and kind.name != name):
        raise CellzooError(f"method {name!r}: {target} is not a MethodKind or SamplerKind of that name")
    return kind


def is_own(name: str) -> bool:
    """Whether a method is part of this package; the presets have settings for those only."""
    return method_targets().get(name, name).startswith(f"{__name__.partition('.')[0]}.")


def kinds() -> dict[str, Kind]:
    """All methods and samplers by name, imported."""
    return {name: find_method(name) for name in method_names()}
