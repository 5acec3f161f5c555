"""Words of a cell's graph, by Weisfeiler-Lehman label refinement.

The label of a value is its operation, `x`, or `state k`. Each round combines it with the labels of its inputs
and of the values that read it; a state has its next value as input. The labels of all rounds are the words of
the cell: the document of graph2vec (Narayanan et al. 2017), from which NAS-Bench-NLP's features are learned.
Equal graphs have equal words.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cellzoo.cells.canonical import canonical_form
from cellzoo.cells.graph import INPUT
from cellzoo.cells.ops import LINEAR, PRIMITIVES

if TYPE_CHECKING:
    from cellzoo.cells.cell import Cell

ROUNDS = 3


def graph_words(cell: Cell, rounds: int = ROUNDS) -> list[str]:
    """The words of a cell, in no particular order.

    Args:
        cell: The cell.
        rounds: Rounds of refinement: the radius of the neighbourhood that a word describes.
    """
    form = canonical_form(cell)
    reads: dict[str, list[tuple[str, str]]] = {INPUT: []}
    labels = {INPUT: "x"}
    for number, state in enumerate(form.states):
        labels[state.name] = f"state {number}"
        reads[state.name] = [("before", state.next)]
    for node in form.nodes:
        labels[node.name] = node.op
        ordered = node.op != LINEAR and not PRIMITIVES[node.op].commutative
        reads[node.name] = [
            (str(place) if ordered else "in", source) for place, source in enumerate(node.inputs)
        ]
    readers: dict[str, list[tuple[str, str]]] = {name: [] for name in labels}
    for name, sources in reads.items():
        for role, source in sources:
            readers[source].append((role, name))
    labels[form.output] += " output"
    words = list(labels.values())
    for _ in range(rounds):
        labels = {
            name: _digest(
                label,
                sorted(f"{role} {labels[source]}" for role, source in reads[name]),
                sorted(f"{role} {labels[reader]}" for role, reader in readers[name]),
            )
            for name, label in labels.items()
        }
        words += labels.values()
    return words


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
