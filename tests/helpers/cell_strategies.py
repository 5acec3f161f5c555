"""Hypothesis strategies for cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import HIDDEN_WIDTH, INPUT, INPUT_WIDTH, Node, State
from cellzoo.cells.ops import CONSTANT, LINEAR, PRIMITIVES, RECAST, SCALAR, VECTOR
from cellzoo.testing import disguised

if TYPE_CHECKING:
    import random


@st.composite
def cells(draw, max_nodes=9):
    """Any valid cell for any E and H: shared weights, values of all widths, one to three states, also delayed.

    Every primitive but `recast`, which needs E = H.
    """
    states = draw(st.integers(1, 3))
    names = [f"h{index}" for index in range(states)]
    widths = {INPUT: INPUT_WIDTH, **dict.fromkeys(names, HIDDEN_WIDTH)}
    nodes = [
        Node(
            "start", LINEAR, (INPUT, names[0]), ("start_x", "start_h"), draw(st.sampled_from(["start_b", None]))
        )
    ]
    widths["start"] = HIDDEN_WIDTH
    famous = draw(st.sampled_from([0, None]))
    for index in range(draw(st.integers(1, max_nodes))):
        # A name that those who write graphs may think is theirs.
        name = "output" if index == famous else f"n{index}"
        op = draw(st.sampled_from(sorted(set(PRIMITIVES) - {RECAST})))
        arity = PRIMITIVES[op].arity
        count = draw(st.integers(1, 3)) if arity is None else arity
        first = draw(st.sampled_from(list(widths)))
        alike = [value for value, width in widths.items() if op == LINEAR or width == widths[first]]
        inputs = (first, *(draw(st.sampled_from(alike)) for _ in range(count - 1)))[:count]
        if op == "sqrt":
            # Of numbers above 0: elsewhere its derivative is not finite, and engines that multiply it by a
            # gradient of 0 get NaN where the reference leaves the product out.
            positive, half, sum_ = (f"{kind}{index}" for kind in ("positive", "half", "sum"))
            nodes += [
                Node(positive, "softplus", (first,)),
                Node(half, CONSTANT, (), width=widths[first], value=0.5),
                Node(sum_, "add", (positive, half)),
            ]
            inputs = (sum_,)
            widths |= dict.fromkeys((positive, half, sum_), widths[first])
        has_own_width = op == LINEAR or not inputs
        width = (
            draw(st.sampled_from([HIDDEN_WIDTH] * 3 + [INPUT_WIDTH, "2"])) if has_own_width else widths[first]
        )
        weights, bias = (), None
        if op == LINEAR:
            weights = tuple(
                draw(st.sampled_from([f"W_{widths[source]}_to_{width}", f"w{index}_{k}"]))
                for k, source in enumerate(inputs)
            )
            bias = draw(st.sampled_from([None, f"b{index}", f"b_{width}"]))
        elif op in (VECTOR, SCALAR):
            weights = (f"{op}_{width}_{draw(st.integers(0, 1))}",)
        value = draw(st.sampled_from([0.5, -2.0, 1e-3])) if op == CONSTANT else None
        own = width if has_own_width else HIDDEN_WIDTH
        nodes.append(Node(name, op, inputs, weights, bias, own, value=value))
        widths[name] = width
    outcomes = [node.name for node in nodes if widths[node.name] == HIDDEN_WIDTH]
    after = [draw(st.sampled_from([*outcomes, *names])) for _ in names]
    after[0] = "start" if not draw(st.booleans()) else after[0]
    try:
        return Cell(
            tuple(State(name, value) for name, value in zip(names, after, strict=True)),
            tuple(nodes),
            draw(st.sampled_from(outcomes)),
        )
    except Exception:
        # The only way such a graph is invalid: nothing that counts reads x.
        return Cell(
            tuple(State(name, "start") for name in names), tuple(nodes), draw(st.sampled_from(outcomes))
        )


def disguise(cell: Cell, generator: random.Random) -> Cell:
    """Rename everything, list independent nodes in another order, and turn commutative inputs round."""
    return disguised(cell, generator)[0]
