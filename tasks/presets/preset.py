"""Presets: how tasks are run, such as in a paper.

title = "What a reader sees"

[problems.classification]     # settings of every task of that kind of problem, and of its training
[tasks.rte]                   # differences of one task
[cells.lstm]                  # differences for one cell, on every task

The settings go over those of task and suite, and `--set` goes over the preset's. They all enter the key of a
record; the name of the preset does not.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from pydantic import Field, JsonValue

from cellzoo.errors import CellzooError, unknown
from cellzoo.system.paths import typed_path
from tasks.presets import SUFFIX, preset_names
from tasks.registry import task_names
from tasks.toml_file import TomlModel, parse_toml, read_text

if TYPE_CHECKING:
    from collections.abc import Iterable

Values = dict[str, JsonValue]


class Preset(TomlModel):
    """What a preset file holds.

    Attributes:
        title: What a reader sees.
        problems: Kind of problem -> settings.
        tasks: Task -> differences.
        cells: Cell -> differences.
    """

    title: str = ""
    problems: dict[str, Values] = Field(default_factory=dict)
    tasks: dict[str, Values] = Field(default_factory=dict)
    cells: dict[str, Values] = Field(default_factory=dict)

    def of_task(self, task: str, problem: str, source: str) -> Values:
        """The settings of a task.

        Raises:
            CellzooError: The preset has nothing for tasks of this kind.
        """
        if problem not in self.problems and task not in self.tasks:
            raise CellzooError(
                f"{source} has nothing for the task {task!r} ({problem or 'no problem'}); it is for "
                f"{', '.join(sorted(self.problems)) or ', '.join(sorted(self.tasks)) or 'nothing'}"
            )
        return {**self.problems.get(problem, {}), **self.tasks.get(task, {})}


def read_preset(preset: str) -> tuple[Preset, str]:
    """Read a preset.

    Args:
        preset: Its name, or the path of a file that ends in `.toml`.

    Returns:
        The preset, and what it is called in messages.

    Raises:
        UnknownNameError: No such preset, or a task in it that does not exist.
        CellzooError: The file cannot be read, is not TOML, or its tables are of another form.
    """
    if preset.endswith(SUFFIX):
        path = typed_path(preset, "--preset")
        source = str(path)
        found = parse_toml(read_text(path), Preset, source)
    else:
        if preset not in preset_names():
            raise unknown(
                "preset", preset[:80], preset_names(), f"One of your own is a path that ends in {SUFFIX}."
            )
        source = f"preset {preset!r}"
        text = files("tasks.presets").joinpath(preset + SUFFIX).read_text(encoding="utf-8")
        found = parse_toml(text, Preset, source)
    _check_tasks(found.tasks, source)
    return found, source


def _check_tasks(names: Iterable[str], source: str) -> None:
    known = task_names()
    for name in names:
        if name not in known:
            error = unknown("task", name[:80], known)
            raise type(error)(f"{source}: key 'tasks': {error}")
