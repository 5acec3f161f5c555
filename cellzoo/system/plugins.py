"""What installed packages add through entry points.

One broken package must not take the others away, so what fails is named on standard error and left out.
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
    """What a package registers, not imported yet.

    Attributes:
        name: Its name in the group.
        target: `module:attribute`, or a module or package.
        package: Who brings it.
        version: Of the package.
    """

    name: str
    target: str
    package: str
    version: str

    @property
    def origin(self) -> str:
        """Who brings it, for messages."""
        return f"package {self.package} {self.version}".rstrip()

    def load(self) -> Any:
        """Import it; what its module raises goes through."""
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
        wanted: If given, of ours that name alone is loaded: what is not used costs no import.

    Yields:
        The name, what it stands for, and the package that brings it.
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
    """Say that a plug-in cannot be used. Without a logging handler this goes to standard error."""
    found = shortened(printable(reason), 500)
    _log.warning("cellzoo: warning: %s %r of the package %r is left out: %s", group, name, package, found)
