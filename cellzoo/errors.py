"""Errors that a user can correct: a wrong name, a malformed file, missing data.

Each carries one complete message: what is wrong, where, and what is expected instead. The command line prints
the message without a traceback and exits with `exit_code`.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class CellzooError(Exception):
    """Base of all errors caused by input (a name, a file, a flag, data) rather than by a defect."""

    exit_code = 2


class CellError(CellzooError):
    """A graph that is not a valid cell."""


class NotationError(CellzooError):
    """A text that its notation cannot read."""


class UnknownNameError(CellzooError):
    """A name under which nothing is registered."""


class MissingDependencyError(CellzooError):
    """A package of an extra is not installed."""


class DataError(CellzooError):
    """A data file that cannot be read as what it should be."""

    exit_code = 3


class DataNotFoundError(DataError):
    """A data set that was found in none of the places that were searched."""


class RecordError(CellzooError):
    """A run record that is truncated, foreign or contradicts another."""

    exit_code = 4


class OutputError(CellzooError):
    """An output folder that cannot be written or is in use."""

    exit_code = 5


class RunError(CellzooError):
    """At least one run did not finish."""

    exit_code = 1


def unknown(
    kind: str, name: str, known: Iterable[str], hint: str = "", *, aliases: Iterable[str] = ()
) -> UnknownNameError:
    """Build the error for an unknown name, which suggests the closest known names.

    Args:
        kind: What the name was expected to be, such as `cell`.
        name: The unknown name.
        known: The names that exist.
        hint: A sentence to end the message.
        aliases: Other names that are accepted; they are suggested, but not counted.
    """
    choices = sorted(known)
    close = get_close_matches(name.lower(), [*choices, *sorted(aliases)], n=3, cutoff=0.6)
    if close:
        advice = "Did you mean " + " or ".join(repr(choice) for choice in close) + "?"
    elif len(choices) <= 24:
        advice = "Known: " + ", ".join(choices) + "."
    else:
        advice = f"{len(choices)} are known."
    return UnknownNameError(" ".join(part for part in (f"unknown {kind} {name!r}.", advice, hint) if part))
