"""The directory of one search."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from cellzoo.errors import DataError
from cellzoo.system.atomic import TEMPORARY, output_errors, write_atomically
from search.run.configuration import differences, read_configuration, write_configuration
from tasks.runs.lock import locked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from search.run.configuration import Configuration, Surroundings

_SHOWN = 6


class RunDirectory:
    """Where one search lies.

    Attributes:
        path: The directory itself.
        configuration: `configuration.json`, written first.
        events: `events.jsonl`, one JSON object a line.
        checkpoint: `checkpoint.safetensors`, the state after the last whole epoch.
        found: `found.toml`, the cell, written last.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.configuration = path / "configuration.json"
        self.events = path / "events.jsonl"
        self.checkpoint = path / "checkpoint.safetensors"
        self.found = path / "found.toml"

    @contextmanager
    def hold(self, configuration: Configuration) -> Iterator[None]:
        """Make the directory if need be, and keep every other command from writing to it.

        Raises:
            OutputError: It cannot be written, or another process holds it.
            DataError: It holds another search, or parts of one without its configuration.
        """
        with locked(self.path):
            self._clear_temporary()
            if self.configuration.exists():
                self.require(configuration)
            else:
                self._require_empty()
            yield

    def begin(self, configuration: Configuration, surroundings: Surroundings) -> None:
        """Say what search this is, once it is known that it can begin.

        Raises:
            OutputError: It cannot be written.
        """
        if not self.configuration.exists():
            write_atomically(self.configuration, write_configuration(configuration, surroundings))

    def require(self, configuration: Configuration) -> None:
        """See to it that the search in here is this one.

        Raises:
            DataError: It is another one; the message says in what.
        """
        there, _ = read_configuration(self.configuration)
        unlike = differences(there, configuration)
        if unlike:
            more = f"; and {len(unlike) - _SHOWN} more" if len(unlike) > _SHOWN else ""
            raise DataError(
                f"{self.path}: holds a search of another configuration ({'; '.join(unlike[:_SHOWN])}{more}). "
                "Give another directory with --out, or go on with that one: --resume and its directory"
            )

    def _require_empty(self) -> None:
        for path in (self.events, self.checkpoint, self.found):
            if path.exists():
                raise DataError(
                    f"{self.path}: has {path.name}, but no {self.configuration.name} to say of what "
                    "search. Give another directory with --out"
                )

    def _clear_temporary(self) -> None:
        """Remove what a kill in the midst of writing left."""
        with output_errors(self.path):
            for path in self.path.iterdir():
                if TEMPORARY.fullmatch(path.name):
                    path.unlink(missing_ok=True)
