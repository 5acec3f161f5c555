"""Named suites: TOML files that list tasks and their settings."""

from __future__ import annotations

from importlib.resources import files

SUFFIX = ".toml"


def suite_names() -> list[str]:
    """Names of the suites that come with the package, sorted."""
    found = (resource.name for resource in files("tasks.suites").iterdir())
    return sorted(name.removesuffix(SUFFIX) for name in found if name.endswith(SUFFIX))
