"""Which tasks there are, and kinds of problems and probes. Listing them imports neither torch nor flair.

An outside package adds

- tasks by the entry-point group `cellzoo.tasks`: `anything = "package.folder"` names a package whose task files
  (`tasks.task_file`) become tasks, `name = "module:Class"` one class that derives from `tasks.task.Task`;
- kinds of problems by `cellzoo.problems`, kinds of probes by `cellzoo.probes`: `name = "module:KIND"`.

What takes a name that is there already, and a folder that fails at import, is named on standard error and left
out. A class or a kind is imported when it is asked for; if that fails, it is one message about this one alone.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError, MissingDependencyError, unknown
from cellzoo.system.paths import typed_path
from cellzoo.system.plugins import leave_out, registered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from cellzoo.system.plugins import Plugin
    from tasks.probe import ProbeKind
    from tasks.problem import ProblemKind
    from tasks.task import Task
    from tasks.task_file import TaskFile

SUFFIX = ".toml"
TASKS, PROBLEMS, PROBES = "cellzoo.tasks", "cellzoo.problems", "cellzoo.probes"
KINDS: Mapping[str, Mapping[str, str]] = {
    PROBLEMS: {
        "character-modeling": "tasks.language_modeling.characters:KIND",
        "classification": "tasks.classification.problem:KIND",
        "language-modeling": "tasks.language_modeling.problem:KIND",
        "tagging": "tasks.tagging.problem:KIND",
    },
    PROBES: {"word-similarity": "tasks.word_similarity.probe:KIND"},
}
_OWN = "cellzoo"
_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class TaskSource:
    """Where a task is. Plain data: a worker process builds the task from it and needs no file.

    Attributes:
        place: The file, or `module:Class`, for messages.
        origin: Who brings it, such as `cellzoo`, `package other 2.5` or `the command`.
        file: Content of the task file; None for a class.
        name: Name that a class is registered under; empty if it is not.
    """

    place: str
    origin: str
    file: TaskFile | None = None
    name: str = ""


def task_names() -> list[str]:
    """Names of all registered tasks, sorted."""
    return sorted(_places())


def find_task(text: str) -> Task:
    """Find a task: a registered name, the path of a task file (it ends in `.toml`), or `module:Class`.

    Raises:
        UnknownNameError: No task of that name.
        MissingDependencyError: A package that the task needs is not installed.
        CellzooError: The file or the class is not a task; the message says what is wrong where.
    """
    return build_task(find_source(text))


def find_source(text: str) -> TaskSource:
    """As `find_task`, without importing a class or a kind of problem."""
    if text.endswith(SUFFIX):
        path = typed_path(text, "task")
        from tasks.task_file import read_task_file

        return _beside(TaskSource(str(path), "the command", read_task_file(path)), path.parent)
    if _TARGET.fullmatch(text):
        return TaskSource(text, "the command")
    places = _places()
    if text not in places:
        raise unknown("task", text[:80], places, f"A task file is a path that ends in {SUFFIX}.")
    place = places[text]
    if isinstance(place.resource, str):
        return TaskSource(place.resource, place.origin, name=text)
    source = str(place.resource)
    from tasks.task_file import parse_task_file

    file = parse_task_file(place.resource.read_text(encoding="utf-8"), source)
    if file.name != text:
        raise CellzooError(f"{source}: key 'name' is {file.name!r}; it must be {text!r}, as the file is called")
    return TaskSource(source, place.origin, file)


def build_task(source: TaskSource) -> Task:
    """Build the task of a source; errors as `find_task`."""
    if source.file is None:
        return _of_class(source)
    if source.file.probe:
        from tasks.probe import ProbeTask

        return ProbeTask(source.file, find_probe(source.file.probe, source.place), source.place)
    from tasks.trained import TrainedTask

    return TrainedTask(source.file, find_problem(source.file.problem, source.place), source.place)


def find_problem(name: str, source: str = "") -> ProblemKind:
    """Find a kind of problem by its name, or by `module:KIND`; `source` is who asks, for messages.

    Raises:
        UnknownNameError: No such kind.
        CellzooError: The entry does not lead to one.
    """
    from tasks.problem import ProblemKind

    return _kind(PROBLEMS, "kind of problem", name, ProblemKind, source)


def find_probe(name: str, source: str = "") -> ProbeKind:
    """Find a kind of probe; as `find_problem`."""
    from tasks.probe import ProbeKind

    return _kind(PROBES, "kind of probe", name, ProbeKind, source)


def load_target(target: str, what: str) -> Any:
    """Import `module:Name`.

    Raises:
        MissingDependencyError: A package that the module needs is not installed.
        CellzooError: There is no such module or name, or the module fails at import.
    """
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
    except (Exception, SystemExit) as error:
        raise CellzooError(
            f"{what}: {module_name!r} fails at import: {type(error).__name__}: {error!s:.300}"
        ) from error


@dataclass(frozen=True)
class _Place:
    """A registered task that is not read yet: a task file, or `module:Class`."""

    resource: Traversable | str
    origin: str


@cache
def _own_places() -> dict[str, _Place]:
    return {name: _Place(resource, _OWN) for name, resource in _task_files(files("tasks") / "zoo")}


def _places() -> Mapping[str, _Place]:
    return _all_places(tuple(registered(TASKS)))


@cache
def _all_places(added: tuple[Plugin, ...]) -> Mapping[str, _Place]:
    """Ours and those of other packages; what is left out is said once for a list of packages."""
    places = dict(_own_places())
    for plugin in added:
        for name, place in _places_of(plugin):
            first = places.setdefault(name, place)
            if first.resource != place.resource and str(first.resource) != str(place.resource):
                leave_out(TASKS, name, plugin.package, f"there is a task of that name from {first.origin}")
    return places


def _places_of(plugin: Plugin) -> Iterator[tuple[str, _Place]]:
    if ":" in plugin.target:
        yield plugin.name, _Place(plugin.target, plugin.origin)
        return
    try:
        found = list(_task_files(files(plugin.target)))
    except (Exception, SystemExit) as error:
        leave_out(TASKS, plugin.name, plugin.package, f"{type(error).__name__}: {error}")
        return
    for name, resource in found:
        yield name, _Place(resource, plugin.origin)


def _task_files(folder: Traversable) -> Iterator[tuple[str, Traversable]]:
    for resource in folder.iterdir():
        if resource.name.endswith(SUFFIX):
            yield resource.name.removesuffix(SUFFIX), resource


def _beside(source: TaskSource, folder: Path) -> TaskSource:
    """Make a path in the key `after` relative to the file it stands in."""
    file = source.file
    if file is None or not file.after.endswith(SUFFIX):
        return source
    return replace(
        source, file=file.model_copy(update={"after": str(folder / typed_path(file.after, "after"))})
    )


def _of_class(source: TaskSource) -> Task:
    from tasks.task import Task

    what = f"task {source.place!r} of {source.origin}"
    found = load_target(source.place, what)
    if not isinstance(found, type) or not issubclass(found, Task):
        raise CellzooError(f"{what}: is not a task; expected a class derived from tasks.task.Task")
    try:
        task = found()
    except TypeError as error:
        raise CellzooError(f"{what}: cannot be built without arguments: {error}") from error
    missing = [name for name in ("name", "title", "revision", "settings") if not hasattr(task, name)]
    if missing:
        raise CellzooError(f"{what}: has no {', '.join(missing)}; tasks.task.Task says what a task has")
    if source.name not in ("", task.name):
        raise CellzooError(f"{what}: is registered as {source.name!r} and calls itself {task.name!r}")
    return task


def _kind(group: str, what: str, name: str, wanted: type, source: str) -> Any:
    targets = {name: name} if _TARGET.fullmatch(name) else dict(KINDS[group])
    for plugin in registered(group):
        first = targets.setdefault(plugin.name, plugin.target)
        if first != plugin.target:
            leave_out(group, plugin.name, plugin.package, f"there is a {what} of that name: {first}")
    if name not in targets:
        error = unknown(what, name[:80], targets)
        raise type(error)(f"{source}: {error}" if source else str(error))
    found = load_target(targets[name], f"{what} {name!r}")
    if not isinstance(found, wanted):
        raise CellzooError(f"{what} {name!r}: {targets[name]} is not a {wanted.__name__}")
    return found
