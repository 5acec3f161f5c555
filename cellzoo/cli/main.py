"""The command `cellzoo`: finds the subcommands of all installed packages and runs one."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.metadata import entry_points, version
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from cellzoo.errors import CellzooError, OutputError, unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellzoo.cli.command import Command

_EPILOG = """\
examples:
  cellzoo demo                                        a small run of everything, with a leaderboard
  cellzoo cells 'darts*'                              the cells by name
  cellzoo run wnut17 --data DIR --cells lstm,darts-v2 --seeds 3
  cellzoo board results --out board                   a leaderboard from the records

exit codes:
  0 done   1 a run failed   2 bad input or usage   3 data missing or malformed
  4 a record is damaged   5 the output folder cannot be used   130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _prepare_streams()
    try:
        commands = find_commands()
        if given and not given[0].startswith("-") and given[0] not in commands:
            raise unknown("command", given[0][:80], commands)
        options = _parser(commands).parse_args(given)
        code = commands[options.command].execute(options)
        sys.stdout.flush()
        return code
    except CellzooError as error:
        sys.stderr.write(f"cellzoo: error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("cellzoo: interrupted\n")
        return 130
    except BrokenPipeError:
        _mute()  # the reader of our output (head, less) is gone
        return 141
    except OSError as error:
        _mute()
        place = f"{error.filename}: " if error.filename else "the output cannot be written: "
        sys.stderr.write(f"cellzoo: error: {place}{error.strerror or error}\n")
        return OutputError.exit_code


def _prepare_streams() -> None:
    """Make output work where a stream is closed, or cannot say every character."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - to the end
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _mute() -> None:
    """Keep the interpreter from flushing into an output that takes no more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def find_commands() -> dict[str, Command]:
    """Load the commands of the entry-point group `cellzoo.commands`, by name.

    Raises:
        CellzooError: Two packages bring one name.
    """
    commands: dict[str, Command] = {}
    for point in entry_points(group="cellzoo.commands"):
        try:
            command: Command = point.load()
        except (ImportError, AttributeError) as error:
            # One broken package must not take the other commands away.
            sys.stderr.write(f"cellzoo: warning: the command {point.name!r} cannot be loaded: {error}\n")
            continue
        if command.name in commands:
            raise CellzooError(f"the command {command.name!r} is brought by two packages; one is {point.value}")
        commands[command.name] = command
    return dict(sorted(commands.items()))


def _parser(commands: dict[str, Command]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cellzoo",
        description="Searched recurrent cells by name, judged on what people do with text.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"cellzoo {version('cellzoo')}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in commands.values():
        command.configure(
            subparsers.add_parser(
                command.name,
                help=command.summary,
                description=command.description,
                epilog=f"examples:\n{command.examples}" if command.examples else None,
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
        )
    return parser
