"""The structure of a supernet: its nodes, its operations, and the shapes of its weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from cellzoo.errors import CellzooError, unknown
from cellzoo.notations.ess import DENSE, DIAG, DROP, LOW_RANK, MAX_DELAY, SHARED
from cellzoo.notations.steps.checks import MAX_STEPS
from cellzoo.notations.steps.graph import MORE_OPERATIONS, NONE, OPERATIONS

Sharing: TypeAlias = Literal["target", "edge", "operation"]
Normalisation: TypeAlias = Literal["batch", "running", "none"]

CELL, PAST_INPUTS, PAST_STATES = "cell", "past_inputs", "past_states"
GATES = (PAST_INPUTS, PAST_STATES)


@dataclass(frozen=True)
class Layout:
    """A supernet over cells made of nodes, as in DARTS, optionally with the gates of ESS around it.

    Node i reads all earlier states, 0 to i - 1. Its edges are rows of the mixture in that order, node after
    node: node 1 has row 0, node 2 rows 1 and 2, and so on.

    Attributes:
        nodes: Nodes after state 0, at most 100.
        operations: The operations on an edge, in the order of the mixture's columns. `none` reduces the weight
            of the others and is never derived.
        highway: Whether each edge has a highway gate on the state that it reads.
        sharing: Which edges share a matrix: `target`, all into one node, as in the DARTS code; `edge`, each
            pair of source and target has its own; `operation`, each operation on each edge has its own, as in
            the ENAS code.
        normalisation: `batch`, batch normalisation of every state without parameters; `running`, the same, but
            with running statistics in evaluation, one set for all states as in the DARTS code; or `none`. See
            `SharedStatistics`.
        delay: m of ESS, the number of past steps that its gates read, at most 8; 0 for no gates.
        past_operations: The operations of a gate.
        inter_weights: The kind of weights of the gates, as in the ESS notation.

    Raises:
        CellzooError: A value is out of range.
    """

    nodes: int = 8
    operations: tuple[str, ...] = (NONE, *OPERATIONS)
    highway: bool = True
    sharing: Sharing = "target"
    normalisation: Normalisation = "batch"
    delay: int = 0
    past_operations: tuple[str, ...] = (DROP, "identity", "sigmoid", "tanh", "relu")
    inter_weights: str = DENSE

    def __post_init__(self) -> None:
        if not 1 <= self.nodes <= MAX_STEPS:
            raise CellzooError(f"nodes is {self.nodes}; a cell has 1 to {MAX_STEPS} nodes")
        if not 0 <= self.delay <= MAX_DELAY:
            raise CellzooError(
                f"delay is {self.delay}; expected 1 to {MAX_DELAY} past steps for the gates, or 0 for no gates"
            )
        _check_operations("operations", self.operations, NONE)
        _check_operations("past_operations", self.past_operations, DROP)
        if self.sharing not in ("target", "edge", "operation"):
            raise unknown("sharing", self.sharing, ("target", "edge", "operation"))
        if self.normalisation not in ("batch", "running", "none"):
            raise unknown("normalisation", self.normalisation, ("batch", "running", "none"))
        if self.inter_weights not in (DENSE, SHARED, DIAG) and not self.rank:
            raise CellzooError(
                f"inter_weights is {self.inter_weights!r}; expected 'dense', 'shared', 'diag', or 'lowrank:' "
                "and 1 to 9999"
            )

    @property
    def num_edges(self) -> int:
        """Rows of the cell's mixture."""
        return self.nodes * (self.nodes + 1) // 2

    @property
    def rank(self) -> int:
        """The rank of low-rank weights of gates; 0 for other weights."""
        found = re.fullmatch(rf"{LOW_RANK}:([1-9][0-9]{{0,3}})", self.inter_weights)
        return int(found[1]) if found else 0

    def rows(self, node: int) -> range:
        """The edges into a node, from 1, in the order of their sources."""
        return range(node * (node - 1) // 2, node * (node + 1) // 2)

    def mixture_shapes(self) -> dict[str, tuple[int, int]]:
        """Group -> (edges, operations)."""
        shapes = {CELL: (self.num_edges, len(self.operations))}
        if self.delay:
            shapes |= dict.fromkeys(GATES, (self.delay, len(self.past_operations)))
        return shapes

    def state_widths(self, input_size: int, hidden_size: int) -> list[int]:
        """Widths of the recurrent states: h, or with gates those of `search.supernets.gates`."""
        if not self.delay:
            return [hidden_size]
        return [hidden_size] * self.delay + [input_size] * self.delay + [1]

    def weight_shapes(self, input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
        """Name -> shape of every weight of one direction; a product is `value @ weight`.

        With a highway, the first half of the columns gives the gate and the second the candidate.

        Raises:
            CellzooError: The gates have diagonal weights, and E is not H.
        """
        out = 2 * hidden_size if self.highway else hidden_size
        shapes: dict[str, tuple[int, ...]] = {"w0_x": (input_size, out), "w0_h": (hidden_size, out)}
        own = len([op for op in self.operations if op != NONE])
        for node in range(1, self.nodes + 1):
            more = {"target": (), "edge": (node,), "operation": (node, own)}[self.sharing]
            shapes[f"w{node}"] = (*more, hidden_size, out)
        if self.delay and self.inter_weights == DIAG and input_size != hidden_size:
            raise CellzooError(
                "inter_weights 'diag' needs an input as wide as the state; "
                f"they are {input_size} and {hidden_size}"
            )
        for gate, rows, columns in (
            (PAST_INPUTS, input_size, hidden_size),
            (PAST_STATES, hidden_size, input_size),
        ):
            for delay in range(1, self.delay + 1):
                shapes |= self._gate_shapes(f"{gate}_w", delay, rows, columns)
        return shapes

    def _gate_shapes(self, name: str, delay: int, rows: int, columns: int) -> dict[str, tuple[int, ...]]:
        if self.inter_weights == SHARED:
            return {name: (rows, columns)}
        if self.inter_weights == DIAG:
            return {f"{name}{delay}": (rows,)}
        if self.rank:
            return {f"{name}{delay}_in": (rows, self.rank), f"{name}{delay}_out": (self.rank, columns)}
        return {f"{name}{delay}": (rows, columns)}


def _check_operations(part: str, operations: tuple[str, ...], absent: str) -> None:
    known = (absent, *OPERATIONS, *MORE_OPERATIONS)
    for op in operations:
        if op not in known:
            error = unknown("operation", op, known)
            raise type(error)(f"{part}: {error}")
    if len(set(operations)) != len(operations):
        raise CellzooError(f"{part} {list(operations)} names an operation twice")
    if not set(operations) - {absent}:
        raise CellzooError(
            f"{part} {list(operations)} has nothing to choose; name at least one besides {absent!r}"
        )
