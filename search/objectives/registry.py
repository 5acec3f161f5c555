"""Which objectives there are, and what `--on` means."""

from __future__ import annotations

import os
import pkgutil
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

import search.objectives
from cellzoo.errors import CellzooError, DataNotFoundError, unknown
from tasks.data.own import KINDS, is_own

if TYPE_CHECKING:
    from search.objectives.kind import ObjectiveKind

GROUP = "cellzoo.objectives"


@dataclass(frozen=True)
class Target:
    """What a search runs on.

    Attributes:
        kind: The objective.
        data: Name of the data set, as `tasks.data.locate.find` takes it.
        folder: The folder with the data, if the user named one or a file in it.
    """

    kind: ObjectiveKind
    data: str
    folder: Path | None


@cache
def kinds() -> dict[str, ObjectiveKind]:
    """All kinds of objectives by name: the files of this folder, and the entry points `cellzoo.objectives`.

    Raises:
        CellzooError: Two have one name.
    """
    modules = (
        import_module(f"{search.objectives.__name__}.{module.name}")
        for module in pkgutil.iter_modules(search.objectives.__path__)
    )
    offered = [module.KIND for module in modules if hasattr(module, "KIND")]
    offered += [point.load() for point in entry_points(group=GROUP)]
    found: dict[str, ObjectiveKind] = {}
    for kind in offered:
        if found.setdefault(kind.name, kind) is not kind:
            raise CellzooError(f"two objectives are called {kind.name!r}")
    return dict(sorted(found.items()))


def find_target(on: str, folder: Path | None = None) -> Target:
    """Read what a user searches on.

    Args:
        on: A data set (`ptb`), a text file, or `conll:FILE` or `conll:TRAIN,DEV,TEST`.
        folder: The data folder, if one was given.

    Raises:
        UnknownNameError: Neither a data set nor a file.
        DataNotFoundError: A file that is not there.
    """
    for kind in kinds().values():
        if on in kind.data_sets:
            return Target(kind, on, folder)
    prefix, _, files = on.partition(":")
    if not is_own(on):
        if not (on.endswith(".txt") or os.sep in on or "," in on or Path(on).expanduser().exists()):
            known = [name for kind in kinds().values() for name in kind.data_sets]
            raise unknown("data set", on[:80], known, "A text is given by its file, tags by conll:FILE.")
        prefix, files = KINDS[0], on
    data, own_folder = _own_name(prefix, files.split(","), folder)
    for kind in kinds().values():
        if kind.takes(data):
            return Target(kind, data, own_folder)
    raise unknown("kind of file", prefix, KINDS)


def _own_name(prefix: str, files: list[str], folder: Path | None) -> tuple[str, Path]:
    """Name files by their paths below a common folder, so that the same data has the same name anywhere."""
    below = not any(Path(file).is_absolute() or ".." in Path(file).parts for file in files)
    if folder is not None and below and all((folder / file).is_file() for file in files):
        return f"{prefix}:{','.join(files)}", folder
    paths = [Path(file).expanduser().resolve() for file in files]
    for path in paths:
        if not path.is_file():
            raise DataNotFoundError(f"{path}: {'is no file' if path.exists() else 'no such file'}")
    common = Path(os.path.commonpath([path.parent for path in paths]))
    return f"{prefix}:{','.join(path.relative_to(common).as_posix() for path in paths)}", common
