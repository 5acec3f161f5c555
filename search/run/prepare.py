"""From what a user asks for to a search that is ready to run."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cellzoo.errors import DataError, unknown
from search.methods.registry import find_method
from search.objectives.registry import find_target, kinds
from search.run.configuration import Configuration, Surroundings, differences
from search.run.loop import Plan
from search.run.presets import settings_for
from tasks.data.locate import find
from tasks.runs.device import resolve_device
from tasks.runs.environment import describe_code, describe_environment
from tasks.settings import configure

if TYPE_CHECKING:
    from collections.abc import Mapping

PROVISIONAL = "small"
"""The preset where none is named: the one that any machine can run."""


def request_plan(
    method: str,
    on: str,
    *,
    preset: str = PROVISIONAL,
    seed: int = 0,
    data: str | Path | None = None,
    device: str = "auto",
    threads: int = 1,
    changes: Mapping[str, Any] | None = None,
) -> Plan:
    """Work out what a search would be, and read its data; writes nothing.

    Args:
        method: Name of the method.
        on: A data set, a text file, or `conll:FILES`, as `find_target` takes it.
        preset: Name of the preset.
        seed: The seed.
        data: Folder with the original files of data sets.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        threads: Threads of the search.
        changes: Changed settings, as `settings_for` takes them.

    Raises:
        CellzooError: Something about the request is wrong.
    """
    target = find_target(on, None if data is None else Path(data).expanduser())
    settings = settings_for(preset, method, target.kind, changes)
    found = find(target.data, target.folder)
    where = resolve_device(device)
    configuration = Configuration(
        method=method,
        preset=Path(preset).name + (", changed" if changes else ""),
        method_settings=settings.plain_method,
        objective=target.kind.name,
        objective_settings=settings.plain_objective,
        data=found.name,
        sha256=dict(found.sha256),
        epochs=settings.epochs,
        seed=seed,
        device=where.partition(":")[0],
        threads=threads,
        version=version("cellzoo"),
    )
    surroundings = Surroundings(
        folder=None if target.folder is None else str(target.folder.resolve()),
        device=where,
        code=describe_code().model_dump(mode="json"),
        environment=describe_environment(where, threads).model_dump(mode="json"),
    )
    return _plan(configuration, surroundings, settings.method_settings, settings.objective_settings)


def resume_plan(
    configuration: Configuration, surroundings: Surroundings, data: str | Path | None = None
) -> Plan:
    """Make the plan of a search that was begun, from its `configuration.json`.

    Args:
        configuration: As it was begun.
        surroundings: Where it was begun.
        data: Folder with the data, if it is no longer where it was.

    Raises:
        DataError: The data is not there or not the same, or this is another version of cellzoo.
        CellzooError: The device is not there.
    """
    now = Configuration(**{**asdict(configuration), "version": version("cellzoo")})
    if unlike := differences(configuration, now):
        raise DataError(
            f"the search was begun by another version of cellzoo ({unlike[0]}) and cannot be gone on "
            "with exactly; search anew in another directory, or install that version"
        )
    method = configure(
        find_method(configuration.method).settings, configuration.method_settings, configuration.method
    )
    objective = kinds().get(configuration.objective)
    if objective is None:
        raise unknown("objective", configuration.objective, kinds())
    around = configure(objective.settings, configuration.objective_settings, objective.name)
    moved = surroundings
    if data is not None:
        moved = Surroundings(**{**asdict(surroundings), "folder": str(Path(data).expanduser())})
    return _plan(configuration, moved, method, around)


def _plan(configuration: Configuration, surroundings: Surroundings, method: Any, around: Any) -> Plan:
    folder = None if surroundings.folder is None else Path(surroundings.folder)
    found = find(configuration.data, folder)
    if dict(found.sha256) != dict(configuration.sha256):
        places = ", ".join(str(path) for path in found.files.values())
        raise DataError(f"{places}: is not the data that the search was begun with (its sha256 differs)")
    device = torch.device(resolve_device(surroundings.device))
    return Plan(
        configuration=configuration,
        surroundings=surroundings,
        prepared=kinds()[configuration.objective].build(found, around, device),
        build=partial(find_method(configuration.method).build, method),
        device=device,
    )
