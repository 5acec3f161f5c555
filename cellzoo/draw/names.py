"""Display names of values in equations and pictures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cellzoo.cells.graph import CellGraph

_NUMBERED = re.compile(r"(.+)_[0-9]+")


def display_names(cell: CellGraph) -> dict[str, str]:
    """Value name -> display name: a state's next value is the state with a prime, others keep their name."""
    names = {node.name: node.name for node in cell.nodes}
    for state in reversed(cell.states):
        if state.next in names:
            names[state.next] = f"{state.name}'"
    return names | {state.name: state.name for state in cell.states} | {"x": "x"}


def is_auxiliary(name: str, names: Mapping[str, str]) -> bool:
    """Whether a node's name is another value's name with a number: `i_1` beside `i`.

    Such a name was generated and is not worth showing. `names` are the display names of the cell.
    """
    match = _NUMBERED.fullmatch(name)
    return match is not None and match.group(1) in names and names[name] == name
