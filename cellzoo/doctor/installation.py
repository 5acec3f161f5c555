"""Python, cellzoo, and the packages that both need."""

from __future__ import annotations

import platform
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata, requires
from pathlib import Path
from typing import TYPE_CHECKING

from cellzoo.doctor.finding import Finding, Status
from cellzoo.system.machine import installed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from packaging.requirements import Requirement

SOURCES = Path(__file__).parents[2]
EXTRAS = {
    "nlp": "tasks on text: Flair taggers, word similarity",
    "hub": "cells in transformers",
    "export": "cells as ONNX",
    "board": "leaderboards as Parquet files",
}


def install_command(extra: str = "") -> str:
    """How to install cellzoo again, from its sources where it runs from them."""
    brackets = f"[{extra}]" if extra else ""
    if (SOURCES / "pyproject.toml").is_file():
        return f"pip install --editable '{SOURCES}{brackets}'"
    return f"pip install 'cellzoo{brackets}'"


def check_python() -> Finding:
    """The interpreter."""
    version = platform.python_version()
    bounds = _declared().python
    message = f"{version} ({platform.python_implementation()})"
    if _satisfies(version, bounds):
        return Finding("Python", Status.OK, message)
    return Finding("Python", Status.FAULT, f"{message}, not {bounds}", f"use a Python that is {bounds}")


def check_cellzoo() -> Finding:
    """The package itself."""
    version = installed("cellzoo")
    if version is None:
        advice = f"so its commands and extras are not known; {install_command()}"
        return Finding("cellzoo", Status.ABSENT, f"not installed, runs from {SOURCES}", advice)
    return Finding("cellzoo", Status.OK, f"{version} in {SOURCES}")


def check_packages() -> Finding:
    """The packages that cellzoo cannot do without."""
    needed = _needed_by("")
    problems = _problems(needed)
    if problems:
        return Finding("packages", Status.FAULT, "; ".join(problems), install_command())
    found = (f"{requirement.name} {installed(requirement.name)}" for requirement in needed)
    return Finding("packages", Status.OK, ", ".join(found))


def check_extras() -> Iterator[Finding]:
    """What the extras bring."""
    for extra, purpose in EXTRAS.items():
        needed = _needed_by(extra)
        problems = _problems(needed)
        topic = f"extra {extra}"
        if problems:
            message = f"{'; '.join(problems)} ({purpose})"
            yield Finding(topic, Status.ABSENT, message, install_command(extra))
        elif needed:
            found = ", ".join(f"{one.name} {installed(one.name)}" for one in needed)
            yield Finding(topic, Status.OK, f"{found} ({purpose})")
        else:
            message = f"the installed package does not know it ({purpose})"
            yield Finding(topic, Status.ABSENT, message, install_command(extra))


def _needed_by(extra: str) -> list[Requirement]:
    """The requirements of an extra, or of cellzoo itself where it is empty."""
    return [
        requirement
        for requirement in map(_requirement, _declared().requirements)
        if requirement is not None and _extra(requirement) == extra
    ]


def _requirement(line: str) -> Requirement | None:
    """Read a requirement; a line of another form is passed over."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(line)
    except InvalidRequirement:
        return None


def _extra(requirement: Requirement) -> str:
    found = re.search(r'extra == "([^"]+)"', str(requirement.marker or ""))
    return found.group(1) if found else ""


def _problems(needed: Iterable[Requirement]) -> list[str]:
    """What is wrong with what is installed."""
    problems = []
    for requirement in needed:
        found = installed(requirement.name)
        if found is None:
            problems.append(f"{requirement.name} is not installed")
        elif not _satisfies(found, str(requirement.specifier)):
            problems.append(f"{requirement.name} is {found}, not {requirement.specifier}")
    return problems


def _satisfies(version: str, bounds: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(bounds).contains(version, prereleases=True)


@dataclass(frozen=True)
class _Declared:
    """What the package says that it needs: bounds of Python, and requirements."""

    python: str
    requirements: tuple[str, ...]


@cache
def _declared() -> _Declared:
    """Read pyproject.toml where the code runs from its sources: what was installed may be older."""
    try:
        project = tomllib.loads((SOURCES / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except (OSError, ValueError, KeyError):
        project = {}
    if project.get("name") == "cellzoo":
        lines = [*project.get("dependencies", ())]
        for extra, needed in project.get("optional-dependencies", {}).items():
            lines += [f"{line}; extra == '{extra}'" for line in needed]
        return _Declared(project.get("requires-python", ""), tuple(lines))
    try:
        python = metadata("cellzoo").json.get("requires_python", "")
        return _Declared(str(python), tuple(requires("cellzoo") or ()))
    except PackageNotFoundError:
        return _Declared("", ())
