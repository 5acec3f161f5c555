"""Suites: TOML files that list tasks and the settings that differ from their defaults.

title = "My suite"
extends = "tagging"         # or several, ["tagging", "lm"], also paths: their tasks come first
skips = true                # leaves tasks out whose data is not there, and says so
average = "My average"      # the mean over all tasks, if none was left out

[[task]]
name = "news-lm"            # or the path of a task file, from the folder of the suite

[task.settings]
epochs = 4
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, JsonValue

from cellzoo.errors import CellzooError, unknown
from cellzoo.system.paths import typed_path
from tasks.registry import find_source, task_names
from tasks.suites import SUFFIX, suite_names
from tasks.task_file import is_task_file
from tasks.toml_file import TomlModel, parse_toml, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tasks.registry import TaskSource


@dataclass(frozen=True)
class SuiteTask:
    """One task of a suite with the settings that differ from its defaults."""

    source: TaskSource
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def find(cls, text: str, settings: Mapping[str, Any] | None = None) -> Self:
        """Find a task by what a user types; errors as `tasks.registry.find_task`."""
        return cls(find_source(text), settings or {})

    @property
    def name(self) -> str:
        """The task's name, or `module:Class`."""
        return self.source.file.name if self.source.file else self.source.place


@dataclass(frozen=True)
class Suite:
    """Tasks that are run together.

    Attributes:
        name: Suite name, or the file's stem.
        title: What a reader sees.
        tasks: In the order in which they are run.
        source: Where it was read, for messages; empty for a single task.
        skips: Whether a task whose data is not there is left out; otherwise nothing is run.
        average: What the mean over the tasks is called; empty where it says nothing.
    """

    name: str
    title: str
    tasks: tuple[SuiteTask, ...]
    source: str = ""
    skips: bool = False
    average: str = ""


class _Item(TomlModel):
    name: str = Field(min_length=1)
    settings: dict[str, JsonValue] = Field(default_factory=dict)


class _File(TomlModel):
    title: str = ""
    skips: bool | None = None
    average: str = ""
    extends: str | list[str] = Field(default_factory=list)
    task: list[_Item] | None = Field(default=None, min_length=1)

    @property
    def parents(self) -> list[str]:
        return [self.extends] if isinstance(self.extends, str) else self.extends


def find_suite(text: str) -> Suite:
    """Find what a user names: a suite, a suite or task file (it ends in `.toml`), a task, or `module:Class`.

    Raises:
        UnknownNameError: Neither a suite nor a task.
        CellzooError: A file that cannot be read or is invalid; file and key are in the message.
    """
    if text.endswith(SUFFIX):
        return _read_file(typed_path(text, "SUITE"))
    if ":" in text:
        return _single(text)
    suites, tasks = suite_names(), task_names()
    if text in suites:
        if text in tasks:
            raise CellzooError(f"{text!r} is a suite and also a task of another package; rename the task")
        content = files("tasks.suites").joinpath(text + SUFFIX).read_text(encoding="utf-8")
        return parse_suite(content, name=text, source=f"suite {text!r}")
    if text in tasks:
        return _single(text)
    raise unknown(
        "suite or task",
        text[:80],
        [*suites, *tasks],
        f"A suite file or a task file is a path that ends in {SUFFIX}.",
    )


def _single(text: str) -> Suite:
    task = SuiteTask.find(text)
    title = task.source.file.title if task.source.file else text
    return Suite(task.name, title, (task,))


def _read_file(path: Path) -> Suite:
    """Read a suite file or a task file: a suite lists tasks, a task has a problem or a probe."""
    text = read_text(path)
    if is_task_file(text):
        return _single(str(path))
    return parse_suite(text, name=path.stem, source=str(path), folder=path.parent)


def parse_suite(
    text: str, *, name: str, source: str, folder: Path | None = None, inside: tuple[str, ...] = ()
) -> Suite:
    """Read the text of a suite file.

    Args:
        text: The content.
        name: What the suite is called.
        source: The file, for messages.
        folder: Paths of task files start here.
        inside: Identities of the suites that extend this one, to find cycles.

    Returns:
        The suite. Tasks of the suites that it extends come first; settings that it has for one of them go over
        theirs. It leaves tasks out, if it does not say, where one of those does.

    Raises:
        UnknownNameError: A task or a suite that is not registered.
        CellzooError: Not TOML, a key that is missing, unknown or of the wrong type, or it extends itself.
    """
    content = parse_toml(text, _File, source)
    if content.task is None and not content.parents:
        raise CellzooError(f"{source}: key 'task' is missing; a suite without tasks of its own has 'extends'")
    parents = [
        _parent(parent, source, folder, (*inside, _identity(source, folder))) for parent in content.parents
    ]
    inherited: dict[str, SuiteTask] = {}
    for parent in parents:
        for task in parent.tasks:
            before = inherited.get(task.name)
            settings = {**before.settings, **task.settings} if before else task.settings
            inherited[task.name] = SuiteTask(task.source, settings)
    tasks: list[SuiteTask] = []
    names: list[str] = []
    for number, item in enumerate(content.task or (), 1):
        wanted = item.name
        if wanted.endswith(SUFFIX) and folder is not None:
            wanted = str(folder / typed_path(wanted, "task"))
        place = f"key 'task[{number}].name'"
        try:
            found = find_source(wanted)
        except CellzooError as error:
            raise type(error)(f"{source}: {place}: {error}") from error
        if item.name in names:
            raise CellzooError(
                f"{source}: {place}: {item.name!r} is listed twice; "
                "other settings of the same task belong in another suite and another output folder"
            )
        names.append(item.name)
        task = SuiteTask(found, item.settings)
        if task.name in inherited:
            settings = {**inherited[task.name].settings, **item.settings}
            inherited[task.name] = SuiteTask(found, settings)
        else:
            tasks.append(task)
    skips = any(parent.skips for parent in parents) if content.skips is None else content.skips
    return Suite(name, content.title or name, (*inherited.values(), *tasks), source, skips, content.average)


def _identity(source: str, folder: Path | None) -> str:
    """Tell suites apart: by their resolved paths, as several paths can lead to one file, or by their names."""
    return source if folder is None else str((folder / PurePath(source).name).resolve())


def _parent(text: str, source: str, folder: Path | None, inside: tuple[str, ...]) -> Suite:
    try:
        if text.endswith(SUFFIX):
            path = (folder / typed_path(text, "extends")) if folder else typed_path(text, "extends")
            content, name, place, below = read_text(path), path.stem, str(path), path.parent
        elif text in suite_names():
            content = files("tasks.suites").joinpath(text + SUFFIX).read_text(encoding="utf-8")
            name, place, below = text, f"suite {text!r}", None
        else:
            raise unknown("suite", text[:80], suite_names(), f"A suite file is a path that ends in {SUFFIX}.")
    except CellzooError as error:
        raise type(error)(f"{source}: key 'extends': {error}") from error
    if _identity(place, below) in inside:
        raise CellzooError(f"{source}: key 'extends': {text!r} extends this suite itself")
    return parse_suite(content, name=name, source=place, folder=below, inside=inside)
