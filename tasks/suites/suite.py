"""Read a suite: a TOML file that lists tasks and the settings that differ from their defaults.

title = "My suite"

[[task]]
name = "news-lm"

[task.settings]
epochs = 4
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError, unknown
from tasks.registry import task_entries, task_entry

if TYPE_CHECKING:
    from collections.abc import Mapping

_SUFFIX = ".toml"


@dataclass(frozen=True)
class SuiteTask:
    """One task of a suite with the settings that differ from its defaults."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Suite:
    """Tasks that are run together.

    Attributes:
        name: Suite name, or the file's stem.
        title: What a reader sees.
        tasks: In the order in which they are run.
        source: Where it was read, for messages; empty for a single task.
    """

    name: str
    title: str
    tasks: tuple[SuiteTask, ...]
    source: str = ""


def suite_names() -> list[str]:
    """Names of the suites that come with the package, sorted."""
    found = (resource.name for resource in files("tasks.suites").iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX))


def find_suite(text: str) -> Suite:
    """Find what a user names: a suite, a suite file (it ends in `.toml`), a task, or `module:Class`.

    Raises:
        UnknownNameError: Neither a suite nor a task.
        CellzooError: A suite file that cannot be read or is invalid; file and key are in the message.
    """
    if text.endswith(_SUFFIX):
        return _read_file(Path(text).expanduser())
    if ":" in text:
        entry = task_entry(text)
        return Suite(entry.name, entry.name, (SuiteTask(entry.name),))
    suites, tasks = suite_names(), task_entries()
    if text in suites and text in tasks:
        raise CellzooError(f"{text!r} is a suite and also a task (of {tasks[text].origin}); rename the task")
    if text in suites:
        content = files("tasks.suites").joinpath(text + _SUFFIX).read_text(encoding="utf-8")
        return parse_suite(content, name=text, source=f"suite {text!r}")
    if text in tasks:
        return Suite(text, text, (SuiteTask(text),))
    raise unknown("suite or task", text, [*suites, *tasks], f"A suite file is a path that ends in {_SUFFIX}.")


def _read_file(path: Path) -> Suite:
    try:
        return parse_suite(path.read_text(encoding="utf-8-sig"), name=path.stem, source=str(path))
    except OSError as error:
        raise CellzooError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise CellzooError(f"{path}: is not UTF-8 text (byte {error.start}); a suite is a TOML file") from error


def parse_suite(text: str, *, name: str, source: str) -> Suite:
    """Read the text of a suite file.

    Raises:
        UnknownNameError: A task that is not registered.
        CellzooError: No TOML, or a key that is missing, unknown or of the wrong type.
    """
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Not only TOMLDecodeError: an integer of thousands of digits is a plain ValueError.
        raise CellzooError(f"{source}: is no TOML: {error}") from error
    _check_keys(content, {"title", "task"}, source)
    title = content.get("title", name)
    _check_type(title, str, "title", "a text", source)
    items = content.get("task")
    if not isinstance(items, list) or not items:
        raise CellzooError(f"{source}: key 'task': has no task; write a [[task]] table for each")
    tasks = tuple(_task(item, f"task[{number}]", source) for number, item in enumerate(items, 1))
    names = [task.name for task in tasks]
    for number, task in enumerate(names, 1):
        if task in names[: number - 1]:
            raise CellzooError(
                f"{source}: key 'task[{number}].name': {task!r} is listed twice; "
                "other settings of the same task belong in another suite and another output folder"
            )
    return Suite(name, title, tasks, source)


def _task(item: Any, place: str, source: str) -> SuiteTask:
    _check_type(item, dict, place, "a table", source)
    _check_keys(item, {"name", "settings"}, source, f"{place}.")
    if "name" not in item:
        raise CellzooError(f"{source}: key '{place}.name' is missing; it names the task")
    _check_type(item["name"], str, f"{place}.name", "a text", source)
    settings = item.get("settings", {})
    _check_type(settings, dict, f"{place}.settings", "a table", source)
    try:
        entry = task_entry(item["name"])
    except CellzooError as error:
        raise type(error)(f"{source}: key '{place}.name': {error}") from error
    return SuiteTask(entry.name, settings)


def _check_keys(table: Mapping[str, Any], known: set[str], source: str, place: str = "") -> None:
    for key in table:
        if key not in known:
            raise CellzooError(f"{source}: key '{place}{key}': {unknown('key', key, known)}")


def _check_type(value: Any, wanted: type, place: str, expected: str, source: str) -> None:
    if not isinstance(value, wanted):
        raise CellzooError(f"{source}: key '{place}': expected {expected}, found {value!r:.80}")
