"""Optional dependencies, which the extras of the package install."""

from __future__ import annotations

from importlib.util import find_spec

from cellzoo.errors import MissingDependencyError


def require(package: str, extra: str) -> None:
    """Check that a package of an extra is installed, before it is imported.

    Raises:
        MissingDependencyError: It is not; the message says what to install.
    """
    if find_spec(package) is None:
        raise MissingDependencyError(
            f"the package {package!r} is not installed; it comes with: pip install 'cellzoo[{extra}]'"
        )
