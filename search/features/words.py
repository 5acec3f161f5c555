"""Words of a cell's graph, as Weisfeiler and Lehman's refinement of labels gives them.

The label of a value is its operation, `x`, or `state k`; each round joins it with the labels of what it reads
and of what reads it, the step from a next state to the state included. All labels of all rounds are the words
of the cell: graph2vec's document (Narayanan et al. 2017), which NAS-Bench-NLP's features are learned from.
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
    """Write a cell as words, in an order without meaning.

    Args:
        cell: The cell.
        rounds: How far a word sees.
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
