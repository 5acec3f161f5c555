"""A derived cell as text, with a warning if it is degenerate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from cellzoo.errors import NotationError
from cellzoo.notations import darts, egs, ess, idarts, parse, write

if TYPE_CHECKING:
    from cellzoo.cells.cell import Cell

_NOTATIONS = ("darts", "idarts", "egs", "ess", "enas", "fenas", "nas-bench-nlp", "equations")
"""In the order of preference; every cell can be written as equations."""
START_ONLY = "every node reads only state 0, so that no node reads another: the search may have collapsed"


class CellNote(BaseModel):
    """A cell in an event or a record.

    Attributes:
        hash: Of its graph.
        notation: Of the genotype.
        genotype: The cell as text.
        warning: If the cell is degenerate, in what way.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    notation: Annotated[str, Field(max_length=40)]
    genotype: Annotated[str, Field(max_length=200_000)]
    warning: Annotated[str, Field(max_length=400)] | None = None


def describe_cell(cell: Cell, notation: str = "") -> CellNote:
    """Write a cell in the first notation of `_NOTATIONS` that can express it.

    Args:
        cell: The cell.
        notation: A notation that is tried before the others.
    """
    own = [known for known in _NOTATIONS if known == notation]
    for candidate in [*own, *_NOTATIONS[:-1]]:
        try:
            genotype = write(cell, candidate)
            if parse(genotype, candidate).hash == cell.hash:
                warning = START_ONLY if reads_start_alone(candidate, genotype) else None
                return CellNote(hash=cell.hash, notation=candidate, genotype=genotype, warning=warning)
        except NotationError:
            continue
    return CellNote(hash=cell.hash, notation=_NOTATIONS[-1], genotype=write(cell, _NOTATIONS[-1]))


def reads_start_alone(notation: str, genotype: str) -> bool:
    """Whether a cell with several nodes has no connection between them: every node reads only state 0."""
    sources = _sources(notation, genotype)
    return len(sources) > 1 and all(node <= {0} for node in sources)


def _sources(notation: str, genotype: str) -> list[set[int]]:
    """The predecessors of each node; empty if the notation has no numbered nodes."""
    if notation == "enas":
        arc = [int(number) for number in genotype.partition(":")[2].split()]
        return [{predecessor} for predecessor in arc[len(arc) % 2 :: 2]]
    if notation in ("darts", "ess"):
        edges = (darts if notation == "darts" else ess).read_genotype(genotype).recurrent
        return [{predecessor} for _, predecessor in edges]
    if notation in ("idarts", "egs"):
        nodes = idarts.read_genotype(genotype) if notation == "idarts" else egs.read_code(genotype)
        return [{predecessor for _, predecessor in node} for node in nodes.recurrent]
    return []
