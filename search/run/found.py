"""The cell that a search ends in, as a cell file that says where it comes from."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from cellzoo.system.atomic import output_errors, write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from search.methods.derived import CellNote
    from tasks.settings import Json

FOUND = "found.toml"
_NAME_LIMIT = 63


def found_name(method: str, task: str, seed: int, digest: str, ending: str = "") -> str:
    """Name a cell: method, task, seed, and the first digits of its hash, as two cells must not share a name."""
    safe = re.sub(r"[^a-z0-9._-]+", "-", f"{method}-{task}-s{seed}".lower()).strip("-.")
    ending = f"{ending}-{digest[:6]}"
    return f"{safe[: _NAME_LIMIT - len(ending)]}{ending}"


def write_found(path: Path, name: str, cell: CellNote, source: str, on: str, notes: Mapping[str, Json]) -> None:
    """Write the cell file.

    Args:
        path: Where.
        name: Of the cell.
        cell: The cell in words.
        source: What found it, in words.
        on: What it was searched on.
        notes: Everything else that a reader wants to know; a warning about the cell is added.

    Raises:
        OutputError: It cannot be written.
    """
    told = {"hash": cell.hash, **({"warning": cell.warning} if cell.warning else {}), **notes}
    fields = {
        "name": name,
        "notation": cell.notation,
        "genotype": cell.genotype,
        "source": source,
        "searched_on": on,
        "licence": "a cell found by a program; the genotype itself is a fact",
        "confidence": "written by the search that found it",
        "notes": json.dumps(told, ensure_ascii=False, sort_keys=False),
    }
    with output_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{key} = {toml_text(value)}\n" for key, value in fields.items()]
    write_atomically(path, "".join(lines).encode())


def toml_text(value: str) -> str:
    """Write a text as a TOML string, without escapes where TOML allows that."""
    if '"' in value and "'" not in value and value.isprintable():
        return f"'{value}'"
    # JSON's escapes are TOML's, but for U+007F, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
