"""The task of a search: a task that trains a model, a task file, or the user's own data files."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cellzoo.errors import CellzooError, DataNotFoundError, unknown
from cellzoo.system.paths import typed_path
from tasks.data.own import is_own
from tasks.registry import TaskSource, build_task, find_source, task_names
from tasks.trained import TrainedTask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.settings import Json

OWN = {"text": "text-lm", "conll": "conll-tagging"}
"""Kind of the user's files -> the task that takes them as corpus."""
_TASK_FILE = ".toml"


@dataclass(frozen=True)
class Target:
    """The task of a search.

    Attributes:
        task: The task that trains and evaluates cells.
        source: Where the task is defined.
        settings: Settings that follow from the request, such as the corpus.
        folder: The folder in which data sets are looked for first.
    """

    task: TrainedTask
    source: TaskSource
    settings: Mapping[str, Json] = field(default_factory=dict)
    folder: Path | None = None


def find_target(on: str, folder: Path | None = None) -> Target:
    """Interpret the argument of `--on`.

    Args:
        on: A task, a task file, a text file, or `conll:FILE` or `conll:TRAIN,DEV,TEST`.
        folder: The data folder, if one was given.

    Raises:
        UnknownNameError: It is neither a task nor a file.
        DataNotFoundError: A file does not exist.
        CellzooError: The task trains no model, such as a probe.
    """
    if on in task_names() or on.endswith(_TASK_FILE):
        return _target(on, folder=folder)
    if is_own(on):
        prefix, _, files = on.partition(":")
    elif on.endswith(".txt") or os.sep in on or "," in on or typed_path(on, "--on").exists():
        prefix, files = "text", on
    elif ":" in on:
        return _target(on, folder=folder)
    else:
        raise unknown("task", on[:80], task_names(), "A text is given by its file, tags by conll:FILE.")
    corpus, own_folder = _own_name(prefix, files.split(","), folder)
    return _target(OWN[prefix], {"corpus": corpus}, own_folder)


def _target(name: str, settings: Mapping[str, Json] | None = None, folder: Path | None = None) -> Target:
    source = find_source(name)
    task = build_task(source)
    if not isinstance(task, TrainedTask):
        raise CellzooError(f"task {task.name!r}: trains no model of its own, so nothing can be searched on it")
    return Target(task, source, settings or {}, folder)


def _own_name(prefix: str, files: list[str], folder: Path | None) -> tuple[str, Path]:
    """Name files by their paths below a common folder, so that the name does not depend on where they are."""
    below = not any(Path(file).is_absolute() or ".." in Path(file).parts for file in files)
    if folder is not None and below and all((folder / file).is_file() for file in files):
        return f"{prefix}:{','.join(files)}", folder
    typed = [typed_path(file, "--on") for file in files]
    for path in typed:
        if not path.is_file():
            raise DataNotFoundError(f"{path}: {'is not a file' if path.exists() else 'no such file'}")
        if not _is_unicode(str(path)):
            raise DataNotFoundError(
                f"{str(path)!r:.200}: is not UTF-8 and cannot be put in a record; rename it"
            )
    paths = [path.resolve() for path in typed]
    common = Path(os.path.commonpath([path.parent for path in paths]))
    return f"{prefix}:{','.join(path.relative_to(common).as_posix() for path in paths)}", common


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
