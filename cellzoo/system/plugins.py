"""Plug-ins: what installed packages register through entry points.

A plug-in that cannot be loaded is skipped with a warning, so that one broken package does not affect the
others.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from cellzoo.system.text import printable, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator

_OWN = "cellzoo"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plugin:
    """An entry point of a package, not imported yet.

    Attributes:
        name: Its name in the group.
        target: `module:attribute`, or a module or package.
        package: The name of the package.
        version: The version of the package.
    """

    name: str
    target: str
    package: str
    version: str

    @property
    def origin(self) -> str:
        """The package and its version, for messages."""
        return f"package {self.package} {self.version}".rstrip()

    def load(self) -> Any:
        """Import the target; errors of its module are not caught."""
        return EntryPoint(self.name, self.target, "").load()


def registered(group: str) -> list[Plugin]:
    """The entry points of a group, ours first, then those of other packages by name; imports none of them."""
    found = (
        Plugin(
            point.name,
            point.value.replace(" ", ""),
            point.dist.name if point.dist else "unknown",
            point.dist.version if point.dist else "",
        )
        for point in entry_points(group=group)
    )
    return sorted(found, key=lambda plugin: (plugin.package != _OWN, plugin.name))


def plugins(group: str, wanted: str | None = None) -> Iterator[tuple[str, Any, str]]:
    """Load the entry points of a group, ours first, then those of other packages by name.

    Args:
        group: The group.
        wanted: If given, only this one of our own entry points is loaded, to avoid unneeded imports.

    Yields:
        The name, the loaded object, and the name of the package.
    """
    for plugin in registered(group):
        if wanted is not None and plugin.package == _OWN and plugin.name != wanted:
            continue
        try:
            found = plugin.load()
        except (Exception, SystemExit) as error:
            leave_out(group, plugin.name, plugin.package, f"{type(error).__name__}: {error}")
        else:
            yield plugin.name, found, plugin.package


def leave_out(group: str, name: str, package: str, reason: str) -> None:
    """Warn that a plug-in is skipped. Without a logging handler the warning goes to standard error."""
    found = shortened(printable(reason), 500)
    _log.warning("cellzoo: warning: %s %r of the package %r is left out: %s", group, name, package, found)
