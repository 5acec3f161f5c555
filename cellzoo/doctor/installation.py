"""Python, cellzoo, and the packages that both need."""

from __future__ import annotations

import platform
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata, requires
from pathlib import Path
from typing import TYPE_CHECKING

from cellzoo.doctor.finding import Finding, State
from cellzoo.doctor.requirements import Requirement, read_requirements, satisfies
from cellzoo.system.machine import installed

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCES = Path(__file__).parents[2]
EXTRAS = {
    "nlp": "tasks on text: Flair taggers, word similarity",
    "hub": "cells in transformers",
    "export": "cells as ONNX",
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
    if satisfies(version, bounds):
        return Finding("Python", State.OK, message)
    return Finding("Python", State.FAULT, f"{message}, not {bounds}", f"use a Python that is {bounds}")


def check_cellzoo() -> Finding:
    """The package itself."""
    version = installed("cellzoo")
    if version is None:
        advice = f"so its commands and extras are not known; {install_command()}"
        return Finding("cellzoo", State.ABSENT, f"not installed, runs from {SOURCES}", advice)
    return Finding("cellzoo", State.OK, f"{version} in {SOURCES}")


def check_packages() -> Finding:
    """The packages that cellzoo cannot do without."""
    needed = [requirement for requirement in _declared().requirements if not requirement.extra]
    problems = [problem for requirement in needed if (problem := requirement.problem())]
    if problems:
        return Finding("packages", State.FAULT, "; ".join(problems), install_command())
    found = (f"{requirement.package} {installed(requirement.package)}" for requirement in needed)
    return Finding("packages", State.OK, ", ".join(found))


def check_extras() -> Iterator[Finding]:
    """What the extras bring."""
    requirements = _declared().requirements
    for extra, purpose in EXTRAS.items():
        needed = [requirement for requirement in requirements if requirement.extra == extra]
        problems = [problem for requirement in needed if (problem := requirement.problem())]
        topic = f"extra {extra}"
        if problems:
            message = f"{'; '.join(problems)} ({purpose})"
            yield Finding(topic, State.ABSENT, message, install_command(extra))
        elif needed:
            found = ", ".join(f"{one.package} {installed(one.package)}" for one in needed)
            yield Finding(topic, State.OK, f"{found} ({purpose})")
        else:
            message = f"the installed package does not know it ({purpose})"
            yield Finding(topic, State.ABSENT, message, install_command(extra))


@dataclass(frozen=True)
class _Declared:
    """What the package says that it needs: bounds of Python, and requirements."""

    python: str
    requirements: tuple[Requirement, ...]


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
        return _Declared(project.get("requires-python", ""), tuple(read_requirements(lines)))
    try:
        python = metadata("cellzoo").json.get("requires_python", "")
        return _Declared(str(python), tuple(read_requirements(requires("cellzoo") or ())))
    except PackageNotFoundError:
        return _Declared("", ())
