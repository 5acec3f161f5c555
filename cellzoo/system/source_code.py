"""The version and git revision of the running code."""

from __future__ import annotations

import os
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

from cellzoo.system.machine import installed

_SOURCES = ("cellzoo", "tasks", "search", "leaderboards", "pyproject.toml")


@dataclass(frozen=True)
class SourceCode:
    """A state of the code.

    Attributes:
        version: Of the package.
        revision: The git revision, if the package lies in a checkout of its own repository.
        dirty: Whether files of the packages differ from the revision.
    """

    version: str
    revision: str | None
    dirty: bool | None


def source_code(source: Path | None = None) -> SourceCode:
    """Find the version and revision of the running code.

    The git revision is given only if the package lies in a checkout of its own repository: the folder above
    it is the top of a work tree and holds cellzoo's own `pyproject.toml`. A package installed somewhere inside
    another project's repository has none.

    Args:
        source: The folder that holds the packages; by default the one this module was loaded from.
    """
    folder = (source or Path(__file__).parents[2]).resolve()
    release = _own_version(folder)
    top = _git(folder, "rev-parse", "--show-toplevel") if release else None
    if not top or Path(top).resolve() != folder:
        return SourceCode(release or installed("cellzoo") or "unknown", None, None)
    changes = _git(folder, "status", "--porcelain", "--", *_SOURCES)
    revision = _git(folder, "rev-parse", "HEAD") or None
    return SourceCode(release or "unknown", revision, None if changes is None else bool(changes))


def _own_version(folder: Path) -> str | None:
    """The version in `folder`'s pyproject.toml if that is cellzoo's."""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return str(project["version"]) if project["name"] == "cellzoo" else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _git(folder: Path, *arguments: str) -> str | None:
    """Run git; None if there is no git, no repository, or an error."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        answer = subprocess.run(  # noqa: S603 - fixed arguments, no shell
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            env={**environment, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
