"""An isomorphic copy of a cell with other names, in another order."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import INPUT
from cellzoo.cells.ops import LINEAR, PRIMITIVES

if TYPE_CHECKING:
    import random


def disguised(cell: Cell, generator: random.Random) -> tuple[Cell, dict[str, str]]:
    """Rename everything, and shuffle independent nodes and the inputs of commutative operations.

    Args:
        cell: The cell.
        generator: Source of randomness.

    Returns:
        The isomorphic cell, and the new name of each weight.
    """
    pool = [f"v{index}" for index in range(len(cell.nodes) + len(cell.states))]
    generator.shuffle(pool)
    names = {INPUT: INPUT}
    for value in [state.name for state in cell.states] + [node.name for node in cell.nodes]:
        names[value] = pool.pop()
    used = dict.fromkeys(
        weight for node in cell.nodes for weight in (*node.weights, *([node.bias] if node.bias else []))
    )
    marks = list(range(len(used)))
    generator.shuffle(marks)
    weights = {weight: f"p{mark}" for weight, mark in zip(used, marks, strict=True)}
    waiting, done, nodes = list(cell.nodes), {INPUT, *(state.name for state in cell.states)}, []
    while waiting:
        node = generator.choice([item for item in waiting if set(item.inputs) <= done])
        waiting.remove(node)
        done.add(node.name)
        order = list(range(len(node.inputs)))
        if PRIMITIVES[node.op].commutative:
            generator.shuffle(order)
        given = [node.weights[k] for k in order] if node.op == LINEAR else node.weights
        nodes.append(
            replace(
                node,
                name=names[node.name],
                inputs=tuple(names[node.inputs[k]] for k in order),
                weights=tuple(weights[weight] for weight in given),
                bias=weights[node.bias] if node.bias else None,
            )
        )
    states = tuple(replace(state, name=names[state.name], next=names[state.next]) for state in cell.states)
    return Cell(states, tuple(nodes), names[cell.output], name=cell.name), weights
