"""Cells found by the project's own searches: `found-NAME.toml`, each with the record of a training run.

    name = "found-darts-wnut17"
    record = "records/found-darts-wnut17.json"     # relative to the cell file; written by `cellzoo run`

Such a cell loads only if its record exists and has the hash of the cell's graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellError
from cellzoo.shelves import FOUND_PREFIX
from cellzoo.system.regular_file import read_json, read_regular

if TYPE_CHECKING:
    from pathlib import Path

    from cellzoo.entry import CellEntry

MAX_RECORD_BYTES = 20_000_000


def check_found(found: CellEntry, folder: Path) -> None:
    """Check that a found cell has a record of a training of the same graph.

    Args:
        found: An entry; one that is not called `found-...` needs no record.
        folder: The folder of its file.

    Raises:
        CellError: There is no record, or it is of another graph.
    """
    if not found.name.startswith(FOUND_PREFIX):
        return
    record = read_record(found, folder)
    cell = record.get("cell")
    recorded = cell.get("hash") if isinstance(cell, dict) else None
    if recorded != found.cell.hash:
        raise CellError(
            f"{found.name}: {found.record} is the record of a cell with the hash {str(recorded)[:16]}..., but "
            f"this cell has {found.cell.hash[:16]}...; expected the record of a training of this cell"
        )


def read_record(found: CellEntry, folder: Path) -> dict[str, Any]:
    """Read the record of a found cell.

    Raises:
        CellError: It is not there, not below the folder, or not JSON.
    """
    where = f"{found.name}: record"
    if not found.record:
        raise CellError(
            f"{where} is missing: a cell called {FOUND_PREFIX}... must name the record of a training"
        )
    try:
        path = (folder / found.record).resolve()
        is_below = path.is_relative_to(folder.resolve())
    except (ValueError, RuntimeError) as error:  # a character that no path can have; a loop of symbolic links
        raise CellError(f"{where} {found.record!r:.80} is not a path: {error}") from error
    if not is_below:
        raise CellError(f"{where} {found.record!r:.80} is not below the folder of the cell file")
    try:
        content = read_json(read_regular(path, MAX_RECORD_BYTES))
    except OSError as error:
        raise CellError(f"{where} {found.record!r:.80} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CellError(f"{where} {found.record!r:.80} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise CellError(f"{where} {found.record!r:.80} is not a record; expected an object")
    return content
