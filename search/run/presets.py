"""Presets: named settings of methods and problems, one TOML file each in `search/presets`.

title = "A description"
epochs = 50                          # of a search with a supernet, unless the method's table has `epochs`

[methods.darts]                      # settings of the method, and for a supernet `epochs` of the search
[methods.darts.on.tagging]           # changes for one kind of problem
[problems.language-modeling]         # settings of the problem that differ from the task's
[problems.language-modeling.for.idarts]  # changes for one method
[then.language-modeling.brief]       # settings of the brief training of found cells, and of samplers'
candidates [then.language-modeling.full]        # settings of the full training; `for` as above
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from cellzoo.errors import CellzooError, unknown
from cellzoo.system.paths import typed_path
from search.registry import preset_names
from tasks.settings import Size
from tasks.toml_file import TomlModel, parse_toml, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping

SUFFIX = ".toml"
Stage = Literal["brief", "full"]
Values = dict[str, JsonValue]


class _Table(BaseModel):
    """Settings by name, and tables of changes."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    def merged(self, differences: Mapping[str, Values], name: str) -> Values:
        """The settings with the changes under one name."""
        return {**(self.model_extra or {}), **differences.get(name, {})}


class MethodTable(_Table):
    """Settings of a method.

    Attributes:
        on: Kind of problem -> changes for it.
    """

    on: dict[str, Values] = Field(default_factory=dict)


class MethodsTable(_Table):
    """Settings of a kind of problem, or of a training.

    Attributes:
        by_method: Method -> changes for it.
    """

    by_method: dict[str, Values] = Field(default_factory=dict, alias="for")


class Preset(TomlModel):
    """The content of a preset file.

    Attributes:
        title: A description.
        epochs: Of a search with a supernet whose table does not have `epochs`.
        methods: By name.
        problems: By kind.
        then: Kind of problem -> settings of the training of found cells.
    """

    title: str = ""
    epochs: Size = 50
    methods: dict[str, MethodTable] = Field(default_factory=dict)
    problems: dict[str, MethodsTable] = Field(default_factory=dict)
    then: dict[str, dict[Stage, MethodsTable]] = Field(default_factory=dict)

    def of_method(self, method: str, problem: str, source: str) -> Values:
        """Settings of a method on a kind of problem.

        Raises:
            CellzooError: The preset has no settings for the method.
        """
        if method not in self.methods:
            known = ", ".join(sorted(self.methods))
            raise CellzooError(f"{source} has no settings for the method {method!r}; it has some for {known}")
        table = self.methods[method]
        return table.merged(table.on, problem)

    def of_problem(self, problem: str, method: str) -> Values:
        """Settings of a kind of problem for a method."""
        table = self.problems.get(problem, MethodsTable())
        return table.merged(table.by_method, method)

    def of_retraining(self, problem: str, stage: Stage, method: str, source: str) -> Values:
        """Settings of the task that trains found cells.

        Raises:
            CellzooError: The preset has no such settings.
        """
        if stage not in self.then.get(problem, {}):
            raise CellzooError(
                f"{source} does not say how long to train cells on {problem} (there is no table "
                f"[then.{problem}.{stage}]); take another preset"
            )
        table = self.then[problem][stage]
        return table.merged(table.by_method, method)


def read_preset(preset: str) -> Preset:
    """Read a preset.

    Args:
        preset: Its name, or the path of a file that ends in `.toml`.

    Raises:
        UnknownNameError: No such preset.
        CellzooError: The file cannot be read, is not TOML, or its tables are of another form.
    """
    if preset.endswith(SUFFIX):
        path = typed_path(preset, "--preset")
        return parse_toml(read_text(path), Preset, str(path))
    if preset not in preset_names():
        raise unknown(
            "preset", preset[:80], preset_names(), f"One of your own is a path that ends in {SUFFIX}."
        )
    text = files("search").joinpath(f"presets/{preset}{SUFFIX}").read_text(encoding="utf-8")
    return parse_toml(text, Preset, f"preset {preset}")


def distribute(changes: Mapping[str, Any], takers: Mapping[str, Any], owner: str) -> dict[str, dict[str, Any]]:
    """Assign each changed setting to the part that has it.

    Args:
        changes: Setting -> value; if two parts have a setting, it is written `method.NAME` or `task.NAME`.
        takers: Part, such as `method` or `task` -> names of its settings.
        owner: A description of the search, for messages.

    Returns:
        Part -> its changed settings.

    Raises:
        UnknownNameError: No part has such a setting.
        CellzooError: Two parts have it.
    """
    placed: dict[str, dict[str, Any]] = {taker: {} for taker in takers}
    for name, value in changes.items():
        part, dot, key = name.partition(".")
        if not dot:
            key = name
        elif part not in takers:
            raise CellzooError(f"setting {name[:80]!r}: expected {' or '.join(f'{p}.NAME' for p in takers)}")
        having = [p for p, names in takers.items() if key in names and (not dot or p == part)]
        if not having:
            known = {known for p, names in takers.items() if not dot or p == part for known in names}
            raise unknown("setting", name[:80], known, f"{owner}.")
        if len(having) > 1:
            raise CellzooError(
                f"setting {name!r}: method and task both have it; "
                f"write {' or '.join(f'{p}.{key}' for p in having)}"
            )
        placed[having[0]][key] = value
    return placed
