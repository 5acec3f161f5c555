"""Turns the arguments of a user into a search that is ready to run."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError
from cellzoo.system.paths import typed_path
from search.registry import find_method, is_own
from search.run.found import found_name
from search.run.presets import SUFFIX, distribute, read_preset
from search.run.settings import SearchSettings
from search.run.target import find_target
from search.run.task import SOURCE, SearchTask
from tasks.runs.job import make_job
from tasks.runs.plan import find_data
from tasks.runs.record_key import content_digest
from tasks.settings import Settings, Size, configure, plain, recorded
from tasks.task import Subject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from search.run.presets import Preset, Stage
    from search.run.target import Target
    from tasks.data.found import FoundData
    from tasks.runs.job import Job

PROVISIONAL = "small"
"""The default preset, which every machine can run."""


class _Length(Settings):
    epochs: Size


@dataclass(frozen=True)
class SearchPlan:
    """A search that is ready to run with any seed.

    Attributes:
        target: The task of the search.
        preset: The preset.
        preset_name: As the user typed it.
        config: Everything except data and seed that decides which cell is found.
        subject: The method with its settings, as the subject of records.
        data: The data sets.
    """

    target: Target
    preset: Preset
    preset_name: str
    config: SearchSettings
    subject: Subject
    data: Mapping[str, FoundData] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """The name of the method."""
        return find_method(self.config.method).name

    @property
    def is_sampled(self) -> bool:
        """Whether the method is a sampler, whose candidates are trained separately."""
        return is_sampler(self.config.method)

    def job(self, seed: int) -> Job:
        """The search with one seed, in a work folder of its own that is kept."""
        job = self._job(seed, "")
        stem = found_name(self.method, self.config.task, seed, job.key)
        return self._job(seed, f"searches/{stem}")

    def retraining(self, stage: Stage, changes: Mapping[str, Any]) -> Settings:
        """The configuration of the task that trains found cells.

        Raises:
            CellzooError: The preset has no such settings, or a change is wrong.
        """
        source = f"preset {self.preset_name}"
        problem = self.target.task.kind.name
        task = self.target.task
        values = {
            **self.target.settings,
            **self.preset.of_retraining(problem, stage, self.method, source),
        }
        configure(task.settings, values, f"task {task.name!r}", f"{source}, [then.{problem}.{stage}]")
        return configure(task.settings, {**values, **changes}, f"task {task.name!r}", f"--{stage}")

    def candidate(self, epochs: int) -> Settings:
        """The configuration of the task that trains a sampler's candidate."""
        values = {**self.config.problem_settings, **self.config.training_settings, "epochs": epochs}
        return configure(self.target.task.settings, values, f"task {self.target.task.name!r}")

    def _job(self, seed: int, work: str) -> Job:
        return make_job(
            SearchTask(), SOURCE, self.config, self.subject, seed, self.data, work=work, keep_work=True
        )


def is_sampler(method: str) -> bool:
    """Whether a method is a sampler."""
    from search.samplers.kind import SamplerKind

    return isinstance(find_method(method), SamplerKind)


def request_search(
    method: str,
    on: str,
    *,
    preset: str = PROVISIONAL,
    data: str | Path | None = None,
    changes: Mapping[str, Any] | None = None,
) -> SearchPlan:
    """Configure a search, and find its data; writes nothing.

    Arguments and errors as `configure_search`, and `DataError` if data is missing or malformed.
    """
    plan = configure_search(method, on, preset=preset, data=data, changes=changes)
    return replace(plan, data=find_data(SearchTask().data(plan.config), plan.target.folder))


def configure_search(
    method: str,
    on: str,
    *,
    preset: str = PROVISIONAL,
    data: str | Path | None = None,
    changes: Mapping[str, Any] | None = None,
) -> SearchPlan:
    """Configure a search, without looking for its data sets.

    Args:
        method: Name of the method or sampler.
        on: A task, a task file, a text file, or `conll:FILES`, as in `find_target`.
        preset: Name of a preset, or the path of one.
        data: Folder with the original files of data sets.
        changes: Changed settings; one that method and task both have is `method.NAME` or `task.NAME`.

    Raises:
        CellzooError: An argument is wrong.
    """
    kind = find_method(method)
    chosen = read_preset(preset)
    target = find_target(on, None if data is None else typed_path(str(data), "--data"))
    problem, source = target.task.kind.name, f"preset {preset}"
    own = {}
    if kind.name in chosen.methods or is_own(method):
        own = chosen.of_method(kind.name, problem, source)
    around = chosen.of_problem(problem, kind.name)
    owner = f"Method {kind.name!r} on {target.task.name!r}"
    sampled = is_sampler(method)
    names = {"method": set(kind.settings.model_fields), "task": set(target.task.settings.model_fields)}
    if sampled:
        names["task"] -= {"epochs"}
    else:
        names = {**names, "task": set(target.task.kind.settings.model_fields), "search": {"epochs"}}
    asked = distribute(changes or {}, names, owner)
    epochs = 0
    if not sampled:
        length = {"epochs": own.pop("epochs", chosen.epochs)} | asked["search"]
        epochs = configure(_Length, length, f"search {kind.name}", source if not asked["search"] else "").epochs
    method_settings = configure(kind.settings, own, f"method {kind.name!r}", source)
    if asked["method"]:
        method_settings = configure(kind.settings, own | asked["method"], f"method {kind.name!r}", "--set")
    stage = chosen.of_retraining(problem, "brief", kind.name, source) if sampled else {}
    values = {**target.settings, **around, **stage}
    name = f"task {target.task.name!r}"
    configured = configure(target.task.settings, values, name, f"{source}, [problems.{problem}]")
    if asked["task"]:
        configured = configure(target.task.settings, values | asked["task"], name, "--set")
    training = recorded(target.task.training_settings(configured)) if sampled else {}
    training.pop("epochs", None)
    config = SearchSettings(
        method=method,
        task=target.task.name,
        problem=target.source.file.problem if target.source.file else problem,
        epochs=epochs,
        method_settings=recorded(method_settings),
        problem_settings=plain(target.task.problem_settings(configured)),
        training_settings=training,
    )
    return SearchPlan(target, chosen, preset, config, _subject(config, preset))


def _subject(config: SearchSettings, preset: str) -> Subject:
    """Name a method with all its settings: method, preset, and the first digits of the settings' digest."""
    stem = re.sub(r"[^a-z0-9]+", "-", Path(preset).name.removesuffix(SUFFIX).lower()).strip("-")[:20]
    if not stem:
        raise CellzooError(f"preset {preset!r}: its name has no letter or digit")
    return Subject(
        f"{find_method(config.method).name}-{stem}-{content_digest(plain(config))[:8]}", None, "search"
    )
