"""Presets: named settings of methods and objectives, one TOML file each in `search/presets`.

title = "What a reader sees"
epochs = 50                          # of every method that says nothing else

[methods.darts]                      # settings of the method; `epochs` is of the run
[methods.darts.on.tagging]           # differences on one kind of objective
[objectives.language-modeling]       # settings of the objective
[objectives.language-modeling.for.idarts]  # differences for one method
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError, unknown
from search.methods.registry import find_method
from tasks.settings import configure, plain, setting_types

if TYPE_CHECKING:
    from collections.abc import Mapping

    from search.methods.kind import MethodKind
    from search.objectives.kind import ObjectiveKind

_SUFFIX = ".toml"
EPOCHS = "epochs"
_DIFFERENCES = {"methods": "on", "objectives": "for", "then": None}
"""Key -> what its tables call their own tables of differences; those of `then` hold nothing but tables."""
_TABLES = ("title", EPOCHS, *_DIFFERENCES)


@dataclass(frozen=True)
class Settings:
    """All settings of a search, checked.

    Attributes:
        preset: Where they come from.
        method: The method.
        method_settings: An object of its settings class.
        objective_settings: An object of the objective's settings class.
        epochs: Of the search.
    """

    preset: str
    method: MethodKind
    method_settings: Any
    objective_settings: Any
    epochs: int

    @property
    def plain_method(self) -> dict[str, Any]:
        """The method's settings as JSON values."""
        return plain(self.method_settings)

    @property
    def plain_objective(self) -> dict[str, Any]:
        """The objective's settings as JSON values."""
        return plain(self.objective_settings)


def preset_names() -> list[str]:
    """Names of the presets, sorted."""
    found = (resource.name for resource in files("search").joinpath("presets").iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX))


def read_preset(preset: str) -> dict[str, Any]:
    """Read a preset.

    Args:
        preset: Its name, or the path of a file that ends in `.toml`.

    Raises:
        UnknownNameError: No such preset.
        CellzooError: The file cannot be read, is no TOML, or its tables are of another form.
    """
    try:
        if preset.endswith(_SUFFIX):
            text = Path(preset).expanduser().read_text(encoding="utf-8")
        elif preset in preset_names():
            text = files("search").joinpath(f"presets/{preset}{_SUFFIX}").read_text(encoding="utf-8")
        else:
            raise unknown(
                "preset", preset[:80], preset_names(), "One of your own is a path that ends in .toml."
            )
        content = tomllib.loads(text)
    except OSError as error:
        raise CellzooError(f"{preset}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise CellzooError(f"{preset}: is no TOML: {error}") from error
    for key, value in content.items():
        if key not in _TABLES:
            raise CellzooError(f"preset {preset}: {unknown('key', key, _TABLES)}")
        if key in _DIFFERENCES:
            for name, table in _require_tables(preset, key, value).items():
                inner = _DIFFERENCES[key]
                if inner is None:
                    _require_tables(preset, f"{key}.{name}", table)
                elif inner in table:
                    _require_tables(preset, f"{key}.{name}.{inner}", table[inner])
    return content


def _require_tables(preset: str, place: str, value: Any) -> dict[str, dict[str, Any]]:
    if not (isinstance(value, dict) and all(isinstance(table, dict) for table in value.values())):
        raise CellzooError(f"preset {preset}: {place} must hold tables, such as [{place}.NAME]")
    return value


def settings_for(
    preset: str, method: str, objective: ObjectiveKind, changes: Mapping[str, Any] | None = None
) -> Settings:
    """Take the settings of a preset, with changes.

    Args:
        preset: Its name.
        method: Name of the method.
        objective: Kind of objective.
        changes: Setting -> value. A setting that method and objective both have is written `method.NAME` or
            `objective.NAME`.

    Raises:
        UnknownNameError: No such preset, method or setting.
        CellzooError: A value of the wrong type or out of range, or the preset has nothing for the method.
    """
    kind = find_method(method)
    content = read_preset(preset)
    methods = content.get("methods", {})
    if method not in methods:
        raise CellzooError(
            f"the preset {preset!r} has nothing for the method {method!r}; it has {', '.join(sorted(methods))}"
        )
    own = _merge(methods[method], "on", objective.name)
    around = _merge(content.get("objectives", {}).get(objective.name, {}), "for", method)
    epochs = own.pop(EPOCHS, content.get(EPOCHS))
    run = {EPOCHS: epochs} if epochs is not None else {}
    for name, value in _distribute(changes or {}, kind, objective).items():
        part, _, key = name.partition(".")
        {"method": own, "objective": around, "run": run}[part][key] = value
    chosen = configure(_Run, run, f"search {method}", f"preset {preset}")
    settings = configure(kind.settings, own, method, f"preset {preset}")
    kind.check_epochs(settings, chosen.epochs)
    return Settings(
        preset,
        kind,
        settings,
        configure(objective.settings, around, objective.name, f"preset {preset}"),
        chosen.epochs,
    )


@dataclass(frozen=True)
class _Run:
    epochs: int = 50

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise CellzooError(f"epochs is {self.epochs}; it must be at least 1")


def _merge(table: Mapping[str, Any], key: str, name: str) -> dict[str, Any]:
    return {k: v for k, v in table.items() if k != key} | dict(table.get(key, {}).get(name, {}))


def _distribute(changes: Mapping[str, Any], kind: MethodKind, objective: ObjectiveKind) -> dict[str, Any]:
    """Say for each change what it is of: `run.epochs`, `method.NAME` or `objective.NAME`."""
    takers = {
        "method": setting_types(kind.settings),
        "objective": setting_types(objective.settings),
        "run": setting_types(_Run),
    }
    known = sorted({name for types in takers.values() for name in types})
    placed: dict[str, Any] = {}
    for name, value in changes.items():
        part, dot, key = name.partition(".")
        if not dot:
            key = name
        elif part not in takers:
            raise CellzooError(f"setting {name!r}: expected method.NAME or objective.NAME")
        having = [p for p, types in takers.items() if key in types and (not dot or p == part)]
        if not having:
            hint = f"Method {kind.name!r} on {objective.name!r}."
            raise unknown("setting", name[:80], known, hint)
        if len(having) > 1:
            raise CellzooError(
                f"setting {name!r}: the method and the objective both have it; "
                f"write {' or '.join(f'{p}.{key}' for p in having)}"
            )
        placed[f"{having[0]}.{key}"] = value
    return placed
