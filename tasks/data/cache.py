"""The folder of what is fetched once on a machine, for all runs."""

from __future__ import annotations

import os
from pathlib import Path

from cellzoo.errors import CellzooError
from cellzoo.system.paths import typed_path

VARIABLE = "CELLZOO_CACHE"


def cache_folder() -> Path:
    """`CELLZOO_CACHE`, else `cellzoo` below `XDG_CACHE_HOME` or `~/.cache`; it need not exist.

    Raises:
        CellzooError: None of the variables is set and there is no home folder.
    """
    try:
        if named := os.environ.get(VARIABLE, ""):
            return typed_path(named, VARIABLE)
        above = os.environ.get("XDG_CACHE_HOME", "")
        return (typed_path(above, "XDG_CACHE_HOME") if above else Path.home() / ".cache") / "cellzoo"
    except RuntimeError as error:
        raise CellzooError(
            f"there is no home folder; name a folder for what is fetched by {VARIABLE}"
        ) from error


def data_folder() -> Path:
    """Where fetched files lie, named as below a folder of `--data`."""
    return cache_folder() / "data"


def hub_folder(name: str, revision: str) -> Path:
    """Where a data set from the Hugging Face hub lies, as files in its original format."""
    return cache_folder() / "hub" / f"{name}-{revision.replace('/', '-')[:40]}"
