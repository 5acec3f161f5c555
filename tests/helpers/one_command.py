"""Runs one subcommand through the whole command line, whether or not it is installed as an entry point."""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path

from cellzoo.cli import main

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def declared(name):
    """The command that the project declares under a name."""
    points = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["entry-points"]["cellzoo.commands"]
    module, _, attribute = points[name].partition(":")
    return getattr(import_module(module), attribute)


def invoke(monkeypatch, name, *arguments):
    """Run `cellzoo NAME ARGUMENTS...` in this process and give the exit code."""
    monkeypatch.setattr(main, "find_commands", lambda wanted=None: {name: declared(name)})
    try:
        return main.main([name, *map(str, arguments)])
    except SystemExit as end:
        return end.code
