"""The result of a search as a cell file with its provenance."""

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
    """Name a cell by method, task, seed, and the first digits of its hash, so that names are unique."""
    safe = re.sub(r"[^a-z0-9._-]+", "-", f"{method}-{task}-s{seed}".lower()).strip("-.")
    ending = f"{ending}-{digest[:6]}"
    return f"{safe[: _NAME_LIMIT - len(ending)]}{ending}"


def write_found(path: Path, name: str, cell: CellNote, source: str, on: str, notes: Mapping[str, Json]) -> None:
    """Write the cell file.

    Args:
        path: The file.
        name: Of the cell.
        cell: The cell.
        source: A description of the search.
        on: The task and data of the search.
        notes: Further details; the hash and a warning about the cell are added.

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
    """Write a text as a TOML string, without escapes if possible."""
    if '"' in value and "'" not in value and value.isprintable():
        return f"'{value}'"
    # JSON's escapes are valid in TOML, but TOML also requires U+007F to be escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
