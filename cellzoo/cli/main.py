"""The command `cellzoo`: finds the subcommands of all installed packages and runs one."""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, NoReturn

from cellzoo.cli.command import Command
from cellzoo.errors import CellzooError, OutputError, unknown
from cellzoo.system.interrupt import remembered, was_asked
from cellzoo.system.plugins import leave_out, plugins
from cellzoo.system.streams import mute, prepare_streams
from cellzoo.system.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

GROUP = "cellzoo.commands"
INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells have it."""
_OWN_OPTIONS = ("-h", "--help", "--version")

_DESCRIPTION = """\
Use recurrent cells that were found by architecture search, evaluate them on NLP tasks, and search new ones.
`cellzoo COMMAND --help` describes a command, with examples."""
_EPILOG = """\
examples:
  cellzoo demo                                      evaluate five cells on three small tasks
  cellzoo list cells 'darts*'                       the names of the cells that begin with darts
  cellzoo run small-ner --cells lstm,gru --seeds 3  train and evaluate two cells, three times each
  cellzoo board results --out board                 a leaderboard of the results
  cellzoo search darts --on small-ner --out found   search a new cell

exit codes:
  0 done   1 a run failed   2 bad input or usage   3 data missing or malformed
  4 a record is damaged   5 the output folder cannot be used   130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    prepare_streams()
    with remembered():
        return _exit_code(given)


def _exit_code(given: list[str]) -> int:
    try:
        code = _run(given)
        sys.stdout.flush()
        return code
    except CellzooError as error:
        if was_asked() and not isinstance(error, OutputError):
            # An import that Ctrl-C interrupted may be reported as a missing package or a broken plug-in.
            _say("interrupted")
            return INTERRUPTED
        _say(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        mute()  # the reader of our output (head, less) is gone
        return 141
    except OSError as error:
        mute()
        place = f"{error.filename}: " if error.filename else "the output cannot be written: "
        _say(f"error: {place}{error.strerror or error}")
        return OutputError.exit_code
    except Exception:
        # Ctrl-C in the middle of an import may surface as another error when the import is tried again.
        if not was_asked():
            raise
        _say("interrupted")
        return INTERRUPTED


def _say(message: str) -> None:
    sys.stderr.write(printable(f"cellzoo: {message}\n"))


def _run(given: list[str]) -> int:
    given = _command_first(given)
    if not given or given[0].startswith("-"):
        # Ends the process: with the help, the version, or by naming what is wrong.
        _overview(find_commands()).parse_args(given)
    command = find_commands(given[0]).get(given[0])
    if command is None:
        raise unknown("command", given[0][:80], find_commands())
    return command.execute(_parser(command).read(given[1:]))


def _command_first(given: list[str]) -> list[str]:
    """Put the command before options that were typed before it.

    Raises:
        CellzooError: Several of the words could be the command.
    """
    if not given or not given[0].startswith("-") or given[0] in _OWN_OPTIONS:
        return given
    commands = find_commands()
    places = [place for place, word in enumerate(given) if word in commands]
    if len(places) > 1:
        words = " or ".join(repr(given[place]) for place in places[:4])
        raise CellzooError(
            f"the command comes first: is it {words}? Such as: cellzoo {given[places[0]]} {given[0]} ..."
        )
    return [given[places[0]], *given[: places[0]], *given[places[0] + 1 :]] if places else given


def find_commands(wanted: str | None = None) -> dict[str, Command]:
    """Load the commands of the group `cellzoo.commands`, by name; of our own, only the wanted one if given."""
    commands: dict[str, Command] = {}
    for name, command, package in plugins(GROUP, wanted):
        if not isinstance(command, Command):
            leave_out(GROUP, name, package, f"expected a Command, not {type(command).__name__}")
        elif command.name in commands:
            leave_out(GROUP, name, package, f"there is a command {command.name!r} already")
        else:
            commands[command.name] = command
    return dict(sorted(commands.items()))


def _overview(commands: dict[str, Command]) -> argparse.ArgumentParser:
    """The parser of `cellzoo` without a command."""
    parser = argparse.ArgumentParser(
        prog="cellzoo",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"cellzoo {version('cellzoo')}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in commands.values():
        subparsers.add_parser(command.name, help=command.summary)
    return parser


class _Parser(argparse.ArgumentParser):
    """The parser of one command: options and positional arguments in any order."""

    def __init__(self, command: Command) -> None:
        super().__init__(
            prog=f"cellzoo {command.name}",
            description=command.description,
            epilog=f"examples:\n{command.examples}" if command.examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def read(self, given: Sequence[str]) -> argparse.Namespace:
        """Parse the words after the command's name."""
        options, left = self.parse_known_intermixed_args(given)
        if left:
            self.error(f"unrecognized arguments: {' '.join(left)}{self._advice(given, left[0])}")
        return options

    def error(self, message: str) -> NoReturn:
        """Print the message, without control characters of the arguments, and end the process."""
        super().error(printable(message))

    def _advice(self, given: Sequence[str], left: str) -> str:
        """A hint on how to give an option several values, for values that were separated by blanks."""
        before = [word for word in given[: list(given).index(left)] if word.startswith("-")]
        for action in self._actions:
            if not before or before[-1] not in action.option_strings:
                continue
            option = before[-1]
            if "," in str(action.metavar):
                return f"; several values of {option} are separated by commas: {option} {action.metavar}"
            if isinstance(action.default, list):
                pair = f"{option} {action.metavar}"
                return f"; {option} is given for each of several values: {pair} {pair}"
        return ""


def _parser(command: Command) -> _Parser:
    parser = _Parser(command)
    command.configure(parser)
    return parser
