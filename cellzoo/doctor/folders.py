"""Folders that are read and written."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from cellzoo.doctor.finding import Finding, Status

DATA_VARIABLE = "CELLZOO_DATA"
_CACHE_VARIABLE = "XDG_CACHE_HOME"
_LITTLE = 500_000_000


def check_data() -> Finding:
    """The folder with original data files."""
    value = os.environ.get(DATA_VARIABLE, "")
    where = "`cellzoo data where` says what belongs there"
    if not value:
        message = f"{DATA_VARIABLE} is not set; tasks on real text need it, or --data"
        return Finding("data", Status.ABSENT, message, where)
    folder = Path(value).expanduser()
    if not folder.is_dir():
        return Finding("data", Status.FAULT, f"{DATA_VARIABLE} is {value}, which is not a folder", where)
    if not os.access(folder, os.R_OK | os.X_OK):
        return Finding("data", Status.FAULT, f"{folder} cannot be read", "give yourself read access")
    count = sum(path.is_dir() for path in folder.iterdir())
    return Finding("data", Status.OK, f"{folder}, {count} folder{'' if count == 1 else 's'}; {where}")


def check_cache() -> Finding:
    """The folder where Flair, transformers and others keep what they make or fetch once."""
    value = os.environ.get(_CACHE_VARIABLE, "")
    try:
        folder = Path(value).expanduser() if value else Path.home() / ".cache"
    except RuntimeError:
        return Finding("cache", Status.ABSENT, "there is no home folder", f"set {_CACHE_VARIABLE}")
    return _writable("cache", folder, f"set {_CACHE_VARIABLE} to a folder of yours")


def check_temporary() -> Finding:
    """The folder for temporary files."""
    try:
        folder = Path(tempfile.gettempdir())
    except OSError:
        return Finding(
            "temporary files", Status.FAULT, "no folder can be written", "set TMPDIR to one that can"
        )
    return _writable("temporary files", folder, "set TMPDIR to a folder of yours")


def _writable(topic: str, folder: Path, advice: str) -> Finding:
    """A folder that can be written, or made."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Finding(topic, Status.ABSENT, f"{folder} cannot be written", advice)
    free = shutil.disk_usage(there).free
    message = f"{folder}, {free / 1e9:.1f} GB free"
    if free < _LITTLE:
        return Finding(topic, Status.ABSENT, message, f"that is little; {advice}")
    return Finding(topic, Status.OK, message)
