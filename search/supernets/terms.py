"""The matrix products of a supernet's cell, and the parameters that mix the operations on them.

For each product there is a parameter for each operation: the four of the mixture instruction, then any others
of the layout, then the sum of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.cells.ops import PRIMITIVES
from cellzoo.runtime.graph import GraphBuilder, Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from search.supernets.layout import Layout

# In the order of the mixture instruction.
MIXED = ("tanh", "relu", "sigmoid", "identity")


@dataclass(frozen=True)
class Term:
    """One matrix product on one edge, and the operations that are applied to it.

    Attributes:
        node: The target of the edge, from 1.
        source: The state that it reads.
        weight: Name of its weight.
        operations: (operation, column of the mixture) of each operation.
    """

    node: int
    source: int
    weight: str
    operations: tuple[tuple[str, int], ...]


def slots(operations: Sequence[str]) -> tuple[str, ...]:
    """The operations with a parameter for each product, in order; the sum of the parameters follows them."""
    more = tuple(op for op in operations if op not in MIXED and is_real(op))
    return (*MIXED, *more)


def is_real(op: str) -> bool:
    """Whether an operation computes something, unlike `none` and `drop`."""
    return op in PRIMITIVES and PRIMITIVES[op].forward is not None


def layout_terms(layout: Layout) -> Iterator[Term]:
    """All terms of a cell, in the order of nodes."""
    offered = tuple((op, column) for column, op in enumerate(layout.operations) if is_real(op))
    for node in range(1, layout.nodes + 1):
        for source in range(node):
            for weight, operations in _products(layout, node, source, offered):
                yield Term(node, source, weight, operations)


def computed_terms(layout: Layout, terms: Sequence[Term], mixture: Tensor) -> tuple[int, ...]:
    """Indices of the terms that are computed for a mixture.

    All if the mixture requires a gradient; otherwise those with a nonzero share.
    """
    if mixture.requires_grad:
        return tuple(range(len(terms)))
    rows = (mixture != 0).tolist()
    return tuple(
        index
        for index, term in enumerate(terms)
        if any(rows[layout.rows(term.node)[term.source]][column] for _, column in term.operations)
    )


def _products(
    layout: Layout, node: int, source: int, offered: tuple[tuple[str, int], ...]
) -> Iterator[tuple[str, tuple[tuple[str, int], ...]]]:
    """The weights of an edge, and the operations on the product with each."""
    if layout.sharing != "operation":
        yield f"w{node}" + (f".{source}" if layout.sharing == "edge" else ""), offered
        return
    for rank, alone in enumerate(offered):
        yield f"w{node}.{source}.{rank}", (alone,)


def add_mixture(
    builder: GraphBuilder,
    name: str,
    product: str,
    operations: Sequence[str],
    places: Sequence[str],
    first: int,
) -> str:
    """Add the sum over k of p_k f_k(u) to a graph.

    Args:
        builder: Of the graph.
        name: Of the sum.
        product: u.
        operations: f_k, each once.
        places: The `slots` of the layout.
        first: Index of the product's first parameter.

    Returns:
        The name of the sum.
    """
    width = builder.width(product)
    parts = []
    if not set(operations).isdisjoint(MIXED):
        parts.append(builder.add(Value(f"{name}.mixed", "mixture", width, (product,), immediate=first)))
    for op in operations:
        if op not in MIXED:
            value = builder.add(Value(f"{name}.{op}", op, width, (product,)))
            place = first + places.index(op)
            parts.append(
                builder.add(Value(f"{name}.share.{op}", "parameter_scale", width, (value,), immediate=place))
            )
    return parts[0] if len(parts) == 1 else builder.add(Value(name, "add", width, tuple(parts)))
