"""The gates of ESS as part of a supernet's graph: the equation of `gates.py` as instructions.

Additional states of 1 and 0 say which past values exist, a_1' = 1 and a_i' = a_(i-1), each as wide as its gate,
so that

    gate = (sum of a_i s_i + 1 - a_1) / (sum of a_i + 1 - a_1)
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from cellzoo.cells.graph import HIDDEN_WIDTH, INPUT, INPUT_WIDTH
from cellzoo.notations.ess import DIAG, SHARED
from cellzoo.runtime.graph import GraphBuilder, Value
from search.supernets.layout import PAST_INPUTS, PAST_STATES
from search.supernets.terms import add_mixture, is_real, slots

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from search.supernets.layout import Layout

STATE = "h"


class Gated(NamedTuple):
    """Names of the gated input and the gated state, which the cell reads."""

    x: str
    h: str


class GateWriter:
    """Adds both gates of a layout with a delay to a graph.

    Args:
        builder: Of the graph; has the states of `gate_states`.
        layout: The supernet.
        first_parameter: Index of the gates' first share among the plan's parameters.
        mask_x: Number of the mask for values of the width of x, or None.
        mask_h: The same for the hidden width.
    """

    def __init__(
        self,
        builder: GraphBuilder,
        layout: Layout,
        *,
        first_parameter: int,
        mask_x: int | None,
        mask_h: int | None,
    ) -> None:
        self.builder = builder
        self.layout = layout
        self.first_parameter = first_parameter
        self.slots = slots(layout.past_operations)
        self.operations = [op for op in layout.past_operations if is_real(op)]
        self.masks = {PAST_INPUTS: mask_x, PAST_STATES: mask_h}
        self.widths = {PAST_INPUTS: HIDDEN_WIDTH, PAST_STATES: input_width(layout)}

    @property
    def num_parameters(self) -> int:
        """Number of parameters of both gates."""
        return 2 * self.layout.delay * self._stride

    @property
    def _stride(self) -> int:
        """Number of parameters of one past step."""
        return len(self.slots) + 1

    def write(self) -> Gated:
        """Add both gates, and their products with the input and the state."""
        return Gated(
            self._add("x.gated", "multiply", PAST_STATES, INPUT, self._gate(PAST_STATES)),
            self._add("h.gated", "multiply", PAST_INPUTS, STATE, self._gate(PAST_INPUTS)),
        )

    def nexts(self, output: str) -> list[str]:
        """The next values of the states of `gate_states`, if the next state is `output`."""
        follows = {
            second: first for values in _chains(self.layout, output) for first, second in pairwise(values)
        }
        return [follows[state] for state in gate_states(self.layout)]

    def _add(self, name: str, op: str, gate: str, *inputs: str, immediate: int = 0) -> str:
        return self.builder.add(Value(name, op, self.widths[gate], inputs, immediate=immediate))

    def _gate(self, gate: str) -> str:
        one = self._add(_one(gate), "one", gate)
        terms = [
            self._add(
                f"{gate}.t{delay}", "multiply", gate, _exists(gate, delay), self._mixed(gate, delay, looked_at)
            )
            for delay, looked_at in enumerate(_looked_at(self.layout, gate), start=1)
        ]
        exist = [_exists(gate, delay) for delay in range(1, self.layout.delay + 1)]
        absent = self._add(f"{gate}.absent", "subtract", gate, one, exist[0])
        total = self._add(f"{gate}.sum", "add", gate, *terms, absent)
        count = self._add(f"{gate}.count", "add", gate, *exist, absent)
        return self._add(gate, "divide", gate, total, count)

    def _mixed(self, gate: str, delay: int, looked_at: str) -> str:
        """s_i, a mixture of operations on one product."""
        before = self.layout.delay if gate == PAST_STATES else 0
        first = self.first_parameter + self._stride * (before + delay - 1)
        product = self._product(gate, delay, looked_at)
        return add_mixture(self.builder, f"{gate}.s{delay}", product, self.operations, self.slots, first)

    def _product(self, gate: str, delay: int, looked_at: str) -> str:
        """W_i e_i."""
        name, weights = f"{gate}.u{delay}", self.layout.inter_weights
        width, mask = self.widths[gate], self.masks[gate]
        weight = f"{gate}_w" if weights == SHARED else f"{gate}_w{delay}"
        if weights == DIAG:
            diagonal = self.builder.add(Value(f"{name}.diagonal", "vector", width, weights=(weight,)))
            return self._add(name, "multiply", gate, looked_at, diagonal)
        if self.layout.rank:
            inner = self.builder.linear(
                f"{name}.inner", str(self.layout.rank), [(looked_at, f"{weight}_in", mask)], None
            )
            return self.builder.linear(name, width, [(inner, f"{weight}_out", None)], None)
        return self.builder.linear(name, width, [(looked_at, weight, mask)], None)


def input_width(layout: Layout) -> str:
    """The width of x: with diagonal weights E = H, so x has the hidden width and can be multiplied with h."""
    return HIDDEN_WIDTH if layout.delay and layout.inter_weights == DIAG else INPUT_WIDTH


def gate_states(layout: Layout) -> dict[str, str]:
    """The states of the gates besides h, in the order of `search.supernets.gates`, without `seen`.

    Returns:
        Name -> width.
    """
    inputs = input_width(layout)
    delays = range(1, layout.delay + 1)
    states = {f"h{delay}": HIDDEN_WIDTH for delay in delays[1:]}
    states |= {f"x{delay}": inputs for delay in delays}
    for gate, width in ((PAST_INPUTS, HIDDEN_WIDTH), (PAST_STATES, inputs)):
        states |= {_exists(gate, delay): width for delay in delays}
    return states


def existence(layout: Layout, seen: Tensor, input_size: int, hidden_size: int) -> Iterator[Tensor]:
    """The values of the last of `gate_states`: 1 for rows in which a past value exists, each (B, its width).

    Args:
        layout: The supernet.
        seen: Steps so far, (B, 1).
        input_size: E.
        hidden_size: H.
    """
    for width in (hidden_size, input_size):
        for delay in range(1, layout.delay + 1):
            yield (seen >= delay).to(seen.dtype).expand(-1, width)


def seen_after(seen: Tensor, batch_sizes: Sequence[int]) -> Tensor:
    """Number of steps of each row after a packed batch, (B, 1)."""
    rows = torch.arange(seen.size(0))
    lengths = (torch.tensor(batch_sizes).unsqueeze(1) > rows).sum(0)  # (B,)
    return seen + lengths.to(seen).unsqueeze(1)


def _chains(layout: Layout, output: str) -> Iterator[list[str]]:
    """Lists of names; in the next step each takes the value of the one before it."""
    delays = range(1, layout.delay + 1)
    yield [output, *_looked_at(layout, PAST_STATES)]
    yield [INPUT, *_looked_at(layout, PAST_INPUTS)]
    for gate in (PAST_INPUTS, PAST_STATES):
        yield [_one(gate), *(_exists(gate, delay) for delay in delays)]


def _looked_at(layout: Layout, gate: str) -> list[str]:
    """The states that a gate reads: 1, 2, ... steps back."""
    delays = range(1, layout.delay + 1)
    if gate == PAST_INPUTS:
        return [f"x{delay}" for delay in delays]
    return [STATE, *(f"h{delay}" for delay in delays[1:])]


def _exists(gate: str, delay: int) -> str:
    return f"{gate}.exists{delay}"


def _one(gate: str) -> str:
    return f"{gate}.one"
