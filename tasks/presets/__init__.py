"""Named settings with which tasks are run, one TOML file each."""

from __future__ import annotations

from importlib.resources import files

SUFFIX = ".toml"


def preset_names() -> list[str]:
    """Names of the presets that come with the package, sorted."""
    found = (resource.name for resource in files("tasks.presets").iterdir())
    return sorted(name.removesuffix(SUFFIX) for name in found if name.endswith(SUFFIX))
