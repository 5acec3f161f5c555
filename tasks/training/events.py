"""The event log of a training or a search: one JSON object per line."""

from __future__ import annotations

import json
import math
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cellzoo.errors import DataError
from cellzoo.system.atomic import output_errors
from cellzoo.system.regular_file import read_json, read_regular, require_regular

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Event = dict[str, Any]
TIMES = ("seconds", "peak_memory")
"""Prefixes of the keys whose values differ between two runs with the same seed."""


class EventLog:
    """An append-only log. Opening it removes the events that a killed run wrote after its last checkpoint.

    Args:
        path: The file; created if it does not exist.
        size: Its size in bytes at the last checkpoint; the file is truncated to this size.

    Raises:
        DataError: The file is shorter than `size`.
        OutputError: It cannot be written.
    """

    def __init__(self, path: Path, size: int = 0) -> None:
        self._path = path
        with output_errors(path):
            path.touch()
            require_regular(path)
            there = path.stat().st_size
            if there < size:
                raise DataError(
                    f"{path}: has {there:,} bytes, but had {size:,} when the checkpoint was written. Restore "
                    "the file, or delete the folder to train from scratch"
                )
            os.truncate(path, size)
            self._stream = path.open("ab")

    def write(self, event: Mapping[str, Any]) -> None:
        """Append an event; numbers that are not finite become null, since JSON has neither NaN nor infinity."""
        line = json.dumps(finite(event), ensure_ascii=False, allow_nan=False) + "\n"
        with output_errors(self._path):
            self._stream.write(line.encode())
            self._stream.flush()

    def sync(self) -> int:
        """Flush all lines to the disk.

        Returns:
            The size of the file in bytes.
        """
        with output_errors(self._path):
            os.fsync(self._stream.fileno())
            return self._stream.tell()

    def close(self) -> None:
        """Close the file; write errors were raised by `write` and `sync` already."""
        with suppress(OSError):
            self._stream.close()


def read_events(path: Path) -> list[Event]:
    """Read the events of a run that may still be in progress: an incomplete last line is ignored.

    Raises:
        DataError: The file is missing, or a line is not a JSON object; the message names the line.
    """
    try:
        lines = read_regular(path).split(b"\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    events = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            event = read_json(line)
        except ValueError as error:
            raise DataError(
                f"{path}:{number}: is not JSON ({error!s:.200}); expected one JSON object per line"
            ) from error
        if not isinstance(event, dict) or "event" not in event:
            raise DataError(f"{path}:{number}: is not an event, a JSON object with the key 'event'")
        events.append(event)
    return events


def without_times(events: list[Event]) -> list[Event]:
    """Remove times and memory, which differ between two runs with the same seed."""
    return [{key: value for key, value in event.items() if not key.startswith(TIMES)} for event in events]


def finite(value: Any) -> Any:
    """Replace every NaN or infinity by None, also within dictionaries and lists."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value
