"""The cell that a search ends in, as a cell file that says where it comes from."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from cellzoo.errors import NotationError
from cellzoo.notations import parse, write
from cellzoo.system.atomic import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cellzoo.cells.cell import Cell
    from search.run.configuration import Configuration, Surroundings

_NOTATIONS = ("darts", "idarts", "egs", "ess", "enas", "equations")
"""The most telling first; equations can say every cell."""
_NAME_LIMIT = 63


def in_words(cell: Cell, method: str) -> tuple[str, str]:
    """The notation that says a cell best, and the cell in it.

    Args:
        cell: The cell.
        method: What found it; its own notation, if there is one of that name, is tried first.
    """
    own = [notation for notation in _NOTATIONS if notation == method]
    for notation in [*own, *_NOTATIONS[:-1]]:
        try:
            genotype = write(cell, notation)
            if parse(genotype, notation).hash == cell.hash:
                return notation, genotype
        except NotationError:
            continue
    return _NOTATIONS[-1], write(cell, _NOTATIONS[-1])


def found_name(configuration: Configuration, cell: Cell) -> str:
    """Name a cell: method, data, seed, and the first digits of its hash, as two cells must not share a name."""
    data = configuration.data.rpartition("/")[2].rpartition(":")[2].partition(",")[0].rpartition(".")
    stem = f"{configuration.method}-{data[0] or data[2]}-s{configuration.seed}"
    safe = re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-.")
    return f"{safe[: _NAME_LIMIT - 7]}-{cell.hash[:6]}"


def write_found(
    path: Path,
    cell: Cell,
    configuration: Configuration,
    surroundings: Surroundings,
    outcome: Mapping[str, Any],
) -> None:
    """Write the cell file.

    Args:
        path: Where.
        cell: The cell.
        configuration: What search it is of.
        surroundings: Where that began.
        outcome: What else a reader wants to know: seconds, losses of the last epoch.

    Raises:
        OutputError: It cannot be written.
    """
    notation, genotype = in_words(cell, configuration.method)
    code = surroundings.code
    revision = (
        f" ({str(code['revision'])[:12]}{', changed' if code.get('dirty') else ''})"
        if code.get("revision")
        else ""
    )
    provenance = {
        "hash": cell.hash,
        "search": configuration.identity,
        **configuration.search_settings,
        "seed": configuration.seed,
        "device": configuration.device,
        "threads": configuration.threads,
        **outcome,
    }
    fields = {
        "name": found_name(configuration, cell),
        "notation": notation,
        "genotype": genotype,
        "source": (
            f"searched with cellzoo {configuration.version}{revision}, method {configuration.method}, "
            f"preset {configuration.preset}, seed {configuration.seed}"
        ),
        "searched_on": f"{configuration.data} ({configuration.objective})",
        "licence": "a cell found by a program; the genotype itself is a fact",
        "confidence": "written by the search that found it",
        "notes": json.dumps(provenance, ensure_ascii=False, sort_keys=False),
    }
    lines = [f"{key} = {toml_text(value)}\n" for key, value in fields.items()]
    write_atomically(path, "".join(lines).encode())


def _is_literal(value: str) -> bool:
    """Whether a text may stand between single quotes and is easier to read there."""
    return '"' in value and "'" not in value and value.isprintable()


def toml_text(value: str) -> str:
    """Write a text as a TOML string, without escapes where TOML allows that."""
    if _is_literal(value):
        return f"'{value}'"
    # JSON's escapes are TOML's, but for U+007F, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
