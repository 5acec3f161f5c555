"""Conformance tests for tasks: valid declarations, and reproducible runs."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, ClassVar

from tasks.registry import find_task
from tasks.runs.record import NAME_PATTERN
from tasks.settings import configure, plain, setting_names
from tasks.testing.require import CELL, check_metrics, require

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def check_task(
    task: str, settings: Mapping[str, Any] | None = None, *, data: Path | None = None, out: Path | None = None
) -> None:
    """Run every check on a task.

    Args:
        task: A name, a path of a task file, or `module:Class`.
        settings: Settings that make it small.
        data: The folder for `--data`, if one is needed.
        out: An empty folder for the results of runs; None runs nothing.

    Raises:
        AssertionError: A check failed; the message says which.
    """
    check_declarations(task, settings or {})
    if out is not None:
        check_repeats(task, settings or {}, data, out)


def check_declarations(task: str, settings: Mapping[str, Any]) -> None:
    """Check that name, title, metrics and settings of a task are valid in records, and in its keys."""
    found = find_task(task)
    require(bool(re.fullmatch(NAME_PATTERN, found.name)), f"{found.name!r} is not a valid name in records")
    require(bool(found.title.strip()), "the title is empty")
    require(isinstance(found.revision, int) and found.revision >= 1, "the revision is not a number from 1")
    config = configure(found.settings, settings, f"task {found.name!r}")
    written = plain(config)
    json.dumps(written, allow_nan=False)
    require(configure(found.settings, written, "t") == config, "settings that are written and read are others")
    require(set(written) == set(setting_names(found.settings)), "a setting is not written, so it is in no key")
    require(found.budget <= set(written), "the budget names what is not a setting")
    check_metrics(found.metrics(config))
    require(len(set(found.data(config))) == len(found.data(config)), "a data set is named twice")
    for name in found.baselines:
        require(bool(re.fullmatch(NAME_PATTERN, name)), f"baseline {name!r} is not a valid name in records")
    if found.after is not None:
        before = find_task(found.after)
        require(bool(before.leaves), f"it comes after {before.name!r}, whose runs keep nothing for it")
        require(before.after is None, f"it comes after {before.name!r}, which comes after another one")


def check_repeats(task: str, settings: Mapping[str, Any], data: Path | None, out: Path) -> None:
    """Check that a second run, in a worker process, gives the same record with the declared metrics."""
    from tasks.runs.run import run_suite

    contents = []
    for executor in ("serial", "processes"):
        report = run_suite(
            task, [CELL], 1, out=out / executor, data=data, executor=executor, device="cpu", settings=settings
        )
        report.raise_for_failures()
        contents.append([{**record.comparable(), "code": None} for record in report.records])
        declared = find_task(task)
        for record in report.records:
            if record.task.name == declared.name:
                wanted = [
                    m.name for m in declared.metrics(configure(declared.settings, record.configuration, "t"))
                ]
                require(record.primary == wanted[0], "the first metric is not the primary one")
                require(set(record.metrics) <= set(wanted), "a record has metrics that are not declared")
    require(contents[0] == contents[1], "a second run gives another record")


class TaskConformance:
    """One test per check of a task; inherit it in a class whose name starts with `Test`.

    Attributes:
        task: A name, a path of a task file, or `module:Class`.
        settings: Settings that make it small.
        data: The folder for `--data`, if one is needed.
    """

    task: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}
    data: ClassVar[Path | None] = None

    def test_declarations(self) -> None:
        """See `check_declarations`."""
        check_declarations(self.task, self.settings)

    def test_repeats(self, tmp_path: Path) -> None:
        """See `check_repeats`."""
        check_repeats(self.task, self.settings, self.data, tmp_path)
