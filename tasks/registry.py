"""Which tasks there are. Listing them imports none of them.

An outside package adds tasks through the entry-point group `cellzoo.tasks`: name = "module:Class".
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass, is_dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError, MissingDependencyError, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.task import Task

GROUP = "cellzoo.tasks"
BUILT_IN = {
    "conll-tagging": "tasks.tagging.conll_tagging:ConllTagging",
    "news-lm": "tasks.language_modeling.news:NewsLanguageModel",
    "small-ner": "tasks.tagging.ner:SmallNer",
    "text-lm": "tasks.language_modeling.text_lm:TextLanguageModel",
    "wnut17": "tasks.tagging.ner:Wnut17",
    "word-similarity": "tasks.word_similarity.task:WordSimilarity",
}
_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class TaskEntry:
    """A registered task that is not imported yet.

    Attributes:
        name: What users type.
        target: `module:Class`.
        origin: Who registered it, for messages.
    """

    name: str
    target: str
    origin: str


def task_entries() -> dict[str, TaskEntry]:
    """All registered tasks by name, sorted.

    Raises:
        CellzooError: Two origins register one name.
    """
    found = [TaskEntry(name, target, "cellzoo itself") for name, target in BUILT_IN.items()]
    for point in entry_points(group=GROUP):
        owner = f"package {point.dist.name} {point.dist.version}" if point.dist else "an unknown package"
        found.append(TaskEntry(point.name, point.value.replace(" ", ""), owner))
    entries: dict[str, TaskEntry] = {}
    for entry in sorted(found, key=lambda entry: entry.name):
        other = entries.setdefault(entry.name, entry)
        if other != entry:
            raise CellzooError(
                f"task name {entry.name!r} is registered twice: by {other.origin} ({other.target}) "
                f"and by {entry.origin} ({entry.target}); uninstall one of them"
            )
    return entries


def task_names() -> list[str]:
    """Names of all registered tasks, sorted."""
    return list(task_entries())


def task_entry(name: str) -> TaskEntry:
    """The entry of a name, or of a `module:Class` that is not registered.

    Raises:
        UnknownNameError: No task of that name.
    """
    if _TARGET.fullmatch(name):
        return TaskEntry(name, name, "the command")
    entries = task_entries()
    if name not in entries:
        raise unknown("task", name, entries)
    return entries[name]


def task_class(name: str) -> type[Task]:
    """Import the class of a task; `name` is a registered name or `module:Class`.

    Raises:
        UnknownNameError: No task of that name.
        MissingDependencyError: A package that the task's module needs is not installed.
        CellzooError: The entry does not lead to a task of that name.
    """
    entry = task_entry(name)
    found = load_target(entry.target, f"task {name!r} of {entry.origin}")
    if not isinstance(found, type) or not is_dataclass(getattr(found, "Config", None)):
        raise CellzooError(
            f"task {name!r} of {entry.origin}: {entry.target} is no task; "
            "expected a class with a configuration `Config`, as tasks.task.Task says"
        )
    if entry.name not in (entry.target, getattr(found, "name", None)):
        raise CellzooError(
            f"task {name!r} of {entry.origin}: {entry.target} calls itself {getattr(found, 'name', None)!r}"
        )
    return found


def load_target(target: str, what: str) -> Any:
    """Import `module:Class`."""
    module_name, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if module_name == missing or module_name.startswith(f"{missing}."):
            raise CellzooError(f"{what}: there is no module {missing!r} (target {target!r})") from error
        raise MissingDependencyError(
            f"{what} needs the package {missing!r}: pip install 'cellzoo[nlp]'"
        ) from error
    except AttributeError as error:
        raise CellzooError(f"{what}: module {module_name!r} has no {attribute!r}") from error


def build_task(name: str, settings: Mapping[str, Any] | None = None, source: str = "") -> Task:
    """Build a task from its default configuration and `settings`.

    Args:
        name: A registered name or `module:Class`.
        settings: Setting name -> value, checked against the types of the task's configuration.
        source: Where the settings come from, for messages.

    Raises:
        UnknownNameError: No such task or setting.
        CellzooError: A setting of the wrong type.
    """
    from tasks.settings import configure

    found: Any = task_class(name)
    return found(configure(found.Config, settings or {}, found.name, source))
