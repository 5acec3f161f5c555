"""What installed packages add through entry points.

One broken package must not take the others away, so what fails is named on standard error and left out.
"""

from __future__ import annotations

import logging
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from cellzoo.system.text import printable, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import EntryPoint

_OWN = "cellzoo"
_log = logging.getLogger(__name__)


def plugins(group: str) -> Iterator[tuple[str, Any, str]]:
    """Load the entry points of a group, ours first, then those of other packages by name.

    Yields:
        The name, what it stands for, and the package that brings it.
    """
    for point in sorted(entry_points(group=group), key=lambda point: (_package(point) != _OWN, point.name)):
        try:
            found = point.load()
        except (Exception, SystemExit) as error:
            leave_out(group, point.name, _package(point), f"{type(error).__name__}: {error}")
        else:
            yield point.name, found, _package(point)


def leave_out(group: str, name: str, package: str, reason: str) -> None:
    """Say that a plug-in cannot be used. Without a logging handler this goes to standard error."""
    found = shortened(printable(reason), 500)
    _log.warning("cellzoo: warning: %s %r of the package %r is left out: %s", group, name, package, found)


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "unknown"
