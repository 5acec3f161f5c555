"""Infers the widths of states for notations that do not state them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.cells.graph import HIDDEN_WIDTH, INPUT, INPUT_WIDTH, Node
from cellzoo.cells.ops import LINEAR, RECAST

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def state_widths(
    nodes: Iterable[Node], after: Mapping[str, str], declared: Mapping[str, str]
) -> dict[str, str]:
    """Infer the width of each state from its next value, through any delays; `hidden` if undetermined.

    Args:
        nodes: In topological order.
        after: State -> its next value.
        declared: State -> width, where it is known.

    Returns:
        State -> `input`, `hidden`, or a number of units, which validation refuses for a state.
    """
    nodes = tuple(nodes)
    widths: dict[str, str | None] = {state: declared.get(state) for state in after}
    for _ in after:
        values: dict[str, str | None] = {INPUT: INPUT_WIDTH, **widths}
        for node in nodes:
            if node.op == LINEAR or not node.inputs:
                values[node.name] = node.width
            elif node.op == RECAST:
                values[node.name] = _OTHER_WIDTH.get(values[node.inputs[0]])
            else:
                found = (values[source] for source in node.inputs)
                values[node.name] = next((width for width in found if width), None)
        widths = {state: values[source] for state, source in after.items()}
    return {state: width or HIDDEN_WIDTH for state, width in widths.items()}


_OTHER_WIDTH: dict[str | None, str] = {INPUT_WIDTH: HIDDEN_WIDTH, HIDDEN_WIDTH: INPUT_WIDTH}
