"""Imports go down only, and never in a circle; those inside functions and for type checking count, too."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent
PACKAGES = ("cellzoo", "tasks", "search", "leaderboards")
# What a package may import of the others.
BELOW = {
    "cellzoo": (),
    "tasks": ("cellzoo",),
    "search": ("cellzoo", "tasks"),
    "leaderboards": ("cellzoo", "tasks"),
}
WITHOUT_CIRCLES = PACKAGES


@cache
def modules() -> dict[str, Path]:
    """Module name -> file."""
    found = {}
    for package in PACKAGES:
        for path in (HOUSE / package).rglob("*.py"):
            parts = path.relative_to(HOUSE).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(module: str) -> frozenset[str]:
    """The modules of the house that a module names in its import statements, wherever they stand.

    A name imported from a package that is a module itself counts as that module, and not as the package.
    """
    path, found = modules()[module], set()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                submodule = f"{base}.{alias.name}"
                found.add(submodule if submodule in modules() else base)
    return frozenset(name for name in found if name in modules() and name != module)


def circles(graph: dict[str, frozenset[str]]) -> list[list[str]]:
    """Sets of modules, of two or more, each of which leads to each (strongly connected; Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            place = stack.index(name)
            if len(stack) - place > 1:
                found.append(sorted(stack[place:]))
            del stack[place:]

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return found


@pytest.mark.parametrize("package", WITHOUT_CIRCLES)
def test_no_modules_import_each_other_in_a_circle(package):
    inside = {name for name in modules() if name.split(".")[0] == package}
    assert circles({name: imports(name) & inside for name in inside}) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_imports_one_that_stands_above_or_beside_it(package):
    allowed = {package, *BELOW[package]}
    upwards = [
        f"{name} imports {other}"
        for name in sorted(modules())
        if name.split(".")[0] == package
        for other in sorted(imports(name))
        if other.split(".")[0] not in allowed
    ]
    assert upwards == []


def test_a_circle_is_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"a"}}
    assert circles({name: frozenset(others) for name, others in graph.items()}) == [["b", "c"]]


def test_imports_inside_functions_and_for_type_checking_are_seen():
    assert "cellzoo.draw" in imports("cellzoo.cells.cell")
    assert "cellzoo.cells.graph" in imports("cellzoo.draw.names")
