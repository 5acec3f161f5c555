"""The interface of a subcommand.

A package adds a subcommand by registering a `Command` in the entry-point group `cellzoo.commands`. Its module
must not import anything heavy, because `cellzoo --help` loads all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable


@dataclass(frozen=True)
class Command:
    """One subcommand of `cellzoo`.

    Attributes:
        name: What is typed after `cellzoo`.
        summary: One line for `cellzoo --help`.
        description: The text above the options in `cellzoo NAME --help`.
        examples: Command lines with a word on each, shown below the options.
        configure: Adds the arguments to the parser it is given.
        execute: Does the work and returns the exit code; raises `CellzooError` for bad input.
    """

    name: str
    summary: str
    description: str
    examples: str
    configure: Callable[[argparse.ArgumentParser], None]
    execute: Callable[[argparse.Namespace], int]
