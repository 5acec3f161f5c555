"""Cells that the project's own searches found: `found-NAME.toml` with the record of a training beside it.

    name = "found-darts-wnut17"
    record = "records/found-darts-wnut17.json"     # beside the cell file; as a run wrote it

A cell is in the zoo under such a name only while its record is there and is one of this very graph.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellError
from cellzoo.shelves import FOUND_PREFIX

if TYPE_CHECKING:
    from pathlib import Path

    from cellzoo.entry import CellEntry

MAX_RECORD_BYTES = 20_000_000


def check_found(found: CellEntry, folder: Path) -> None:
    """Check that a found cell has a record that agrees.

    Args:
        found: An entry; one that is not called `found-...` passes.
        folder: Where its file is.

    Raises:
        CellError: There is no record, or it is of another graph; the message says what would be right.
    """
    if not found.name.startswith(FOUND_PREFIX):
        return
    record = read_record(found, folder)
    cell = record.get("cell")
    recorded = cell.get("hash") if isinstance(cell, dict) else None
    if recorded != found.cell.hash:
        raise CellError(
            f"{found.name}: {found.record} is the record of the graph {str(recorded)[:16]}, and the cell is "
            f"{found.cell.hash[:16]}; take the record of a training of this cell"
        )


def read_record(found: CellEntry, folder: Path) -> dict[str, Any]:
    """Read the record of a found cell.

    Raises:
        CellError: It is not there, not below the folder, or not JSON.
    """
    where = f"{found.name}: record"
    if not found.record:
        raise CellError(f"{where} is missing: a cell called {FOUND_PREFIX}... names the record of a training")
    path = (folder / found.record).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise CellError(f"{where} {found.record!r:.80} is not below the folder of the cell file")
    try:
        if path.stat().st_size > MAX_RECORD_BYTES:
            raise CellError(f"{where} {found.record!r:.80} is larger than {MAX_RECORD_BYTES:,} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CellError(f"{where} {found.record!r:.80} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CellError(f"{where} {found.record!r:.80} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise CellError(f"{where} {found.record!r:.80} is not a record; expected an object")
    return content
