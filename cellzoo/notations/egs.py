"""DARTS-EGS codes: several operations per edge, several edges per node.

Text: `EGS(recurrent=[[(['tanh', 'relu'], 0)], [(['relu'], 0), (['identity'], 1)]], concat=range(1, 3))`: for
each node its edges, each the active operations and the predecessor. Data: a mapping with the same keys, also
as JSON.

Ensemble Gumbel-softmax draws M one-hot samples for an edge and keeps every operation that one of them hit
(Chang et al. 2019, "Differentiable Architecture Search with Ensemble Gumbel-Softmax"), so the code of an edge
is any set of at most M operations. With s_0 and the output as in a DARTS genotype,

    s_i = sum over the active (f, p) of  s_p + sigmoid(c_ip) * (f(u_ip) - s_p),   [c_ip, u_ip] = W_i s_p

divided by the number of active (f, p) of the node. W_i belongs to the node: its edges share it. `none` may be
active, as in a sampled code; it adds nothing and is not counted. An edge on which only `none` is active is
dropped, and a node without edges is 0.

`normalize=False` leaves out the division, as the paper's equations do; the authors' code for convolutional
cells divides.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellzoo.notations.literals import Form, write_states
from cellzoo.notations.steps.checks import (
    checked_concat,
    checked_operation,
    checked_predecessor,
    checked_recurrent,
    is_list,
)
from cellzoo.notations.steps.graph import MEAN, NONE, OPERATIONS, SUM, Edge, Steps, ordered, to_cell
from cellzoo.notations.steps.reader import cannot_write, confirm, read_steps

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from cellzoo.cells.cell import Cell

FORM = Form(
    label="DARTS-EGS code",
    call="EGS",
    example="EGS(recurrent=[[(['tanh', 'relu'], 0)], ...], concat=range(1, 9))",
    required=("recurrent", "concat"),
    optional={"normalize": True},
)
SPACE_STEPS = 8
SPACE_SAMPLES = 4


@dataclass(frozen=True)
class Code:
    """A DARTS-EGS code.

    Attributes:
        recurrent: The active (operation, predecessor) of each node, by predecessor, then operation.
        concat: The states whose mean is the output.
        normalize: Whether a node is divided by the number of its active (operation, predecessor).
    """

    recurrent: tuple[tuple[Edge, ...], ...]
    concat: tuple[int, ...]
    normalize: bool = True

    def __str__(self) -> str:
        nodes = []
        for edges in self.recurrent:
            operations: dict[int, list[str]] = defaultdict(list)
            for op, predecessor in edges:
                operations[predecessor].append(op)
            nodes.append(f"[{', '.join(f'({ops}, {source})' for source, ops in operations.items())}]")
        option = "" if self.normalize else ", normalize=False"
        return f"EGS(recurrent=[{', '.join(nodes)}], concat={write_states(self.concat)}{option})"

    @property
    def steps(self) -> Steps:
        """The code as steps."""
        return Steps(self.recurrent, self.concat, combine=MEAN if self.normalize else SUM)


def parse(source: str | Mapping[str, Any] | Code, name: str = "") -> Cell:
    """Read a code as a Cell with one state, h.

    Raises:
        NotationError: The text or data is not a code; the message names the edge and what would be right.
        CellError: The graph has too many nodes, or its output is 0.
    """
    return to_cell((source if isinstance(source, Code) else read_code(source)).steps, name)


def write(cell: Cell) -> str:
    """Write a cell as a code.

    Raises:
        NotationError: The cell does not have this form.
    """
    steps = read_steps(cell, FORM)
    if steps.start != "tanh":
        raise cannot_write(FORM, f"state 0 applies {steps.start!r}; expected 'tanh'")
    for step, edges in enumerate(steps.edges, start=1):
        if any(op == NONE for op, _ in edges):
            raise cannot_write(FORM, f"node {step} has an edge of 0 with a highway")
    code = Code(tuple(ordered(edges) for edges in steps.edges), steps.concat, steps.combine == MEAN)
    confirm(cell, parse(code), FORM)
    return str(code)


def sample(
    generator: random.Random,
    steps: int = SPACE_STEPS,
    samples: int = SPACE_SAMPLES,
    *,
    normalize: bool = True,
) -> str:
    """Draw a code: each edge has the operations that `samples` uniform draws, with `none` among them, hit."""
    recurrent = []
    for step in range(1, steps + 1):
        edges: set[Edge] = set()
        for predecessor in range(step):
            hits = generator.choices((NONE, *OPERATIONS), k=samples)
            edges |= {(op, predecessor) for op in hits if op != NONE}
        recurrent.append(ordered(edges))
    return str(Code(tuple(recurrent), tuple(range(1, steps + 1)), normalize))


def read_code(source: str | Mapping[str, Any]) -> Code:
    """Read and check a code from text or data.

    Raises:
        NotationError: As in `parse`.
    """
    content = FORM.read(source)
    recurrent = [
        _checked_node(step, edges)
        for step, edges in enumerate(checked_recurrent(FORM, content["recurrent"]), start=1)
    ]
    concat = checked_concat(FORM, content["concat"], len(recurrent))
    return Code(tuple(recurrent), concat, FORM.switch(content, "normalize"))


def _checked_node(step: int, edges: Any) -> tuple[Edge, ...]:
    where = f"node {step}"
    if not is_list(edges):
        raise FORM.fault(f"{where}: {edges!r:.80} is not a list of (operations, predecessor)")
    active: dict[int, list[str]] = {}
    for edge in edges:
        if not is_list(edge) or len(edge) != 2 or not is_list(edge[0]):
            raise FORM.fault(f"{where}: {edge!r:.80} is not a pair (operations, predecessor)")
        predecessor = checked_predecessor(FORM, step, edge[1])
        if predecessor in active:
            raise FORM.fault(f"{where}: predecessor {predecessor} is repeated")
        operations = [checked_operation(FORM, where, op, none=True) for op in edge[0]]
        twice = next((op for op in operations if operations.count(op) > 1), None)
        if twice is not None:
            raise FORM.fault(f"{where}: predecessor {predecessor}: operation {twice!r} is repeated")
        active[predecessor] = [op for op in operations if op != NONE]
    return ordered((op, predecessor) for predecessor, ops in active.items() for op in ops)
