"""Counts of the Weisfeiler-Lehman words of a cell's graph.

A word of depth 0 is an operation, one of depth d + 1 an operation with the words of depth d that it reads: in
order for `blend`, whose inputs have different roles, and sorted for all others. The word of a state is made
from that of the node that is its next value, so words reach back in time (Shervashidze et al. 2011,
"Weisfeiler-Lehman Graph Kernels"). Equal graphs have equal words.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from cellzoo.cells.cell import Cell

DEPTH = 2
_ORDERED = "blend"


def words(cell: Cell, depth: int = DEPTH) -> Counter[str]:
    """Count the words of a cell up to a depth; words of a depth above 0 are digests."""
    becomes = {state.name: state.next for state in cell.states}
    label = {"x": "x"} | {node.name: node.op for node in cell.nodes}
    label |= dict.fromkeys(becomes, "state")
    found = Counter(label[node.name] for node in cell.nodes)
    found["state"] = len(becomes)
    found["output of a state"] = sum(state.next == cell.output for state in cell.states)
    for _ in range(depth):
        deeper = dict(label)
        for node in cell.nodes:
            read = [label[source] for source in node.inputs]
            read = read if node.op == _ORDERED else sorted(read)
            deeper[node.name] = _digest(f"{node.op}({','.join(read)})")
        for name, after in becomes.items():
            deeper[name] = _digest(f"state({label[after]})")
        label = deeper
        found.update(label[node.name] for node in cell.nodes)
    return found


def count_words(cells: Sequence[Cell], vocabulary: Sequence[str] | None = None) -> NDArray[np.float64]:
    """Counts, (cells, words), of the words of a vocabulary; by default of all words of the cells."""
    counted = [words(cell) for cell in cells]
    known = vocabulary_of(counted) if vocabulary is None else vocabulary
    return np.array([[one[word] for word in known] for one in counted], dtype=np.float64)


def vocabulary_of(counted: Iterable[Counter[str]], *, at_least: int = 1) -> tuple[str, ...]:
    """The words that occur in at least so many cells, sorted."""
    having = Counter(word for one in counted for word in one)
    return tuple(sorted(word for word, number in having.items() if number >= at_least))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
