"""I-DARTS recurrent genotypes (top-n): a node combines several edges, possibly from the same predecessor.

Text: `IDARTS(recurrent=[[('relu', 0), ('tanh', 0)], [('relu', 1)]], concat=range(1, 3), combine='mean')`. Data:
a mapping with the same keys, also as JSON.

I-DARTS ranks all edges (f, p) into a node by one joint softmax and keeps the best n (Jiang et al. 2019,
"Improved Differentiable Architecture Search for Language Modeling and Named Entity Recognition"). `none` is
in that softmax but never kept. With s_0 and the output as in a DARTS genotype,

    s_i = mean or sum over the edges (f, p) of  s_p + sigmoid(c_ip) * (f(u_ip) - s_p),   [c_ip, u_ip] = W_i s_p

W_i belongs to the node: its edges share it, so that n does not change the number of parameters. With one edge
a node the cell is the DARTS cell. Optional parts:

`combine='mean'` (the default) divides by the number of edges; `combine='sum'` is the paper's equation, which
doubles the scale of a node with two edges.

`highway=False` is the paper's equation without gates, f(W_i s_p); the authors' code keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellzoo.notations.literals import Form, write_states
from cellzoo.notations.steps.checks import checked_concat, checked_edge, checked_recurrent, is_list
from cellzoo.notations.steps.graph import MEAN, NONE, OPERATIONS, SUM, Edge, Steps, ordered, to_cell
from cellzoo.notations.steps.reader import cannot_write, confirm, read_steps

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from cellzoo.cells.cell import Cell

FORM = Form(
    label="I-DARTS genotype",
    call="IDARTS",
    example="IDARTS(recurrent=[[('relu', 0), ('tanh', 0)], ...], concat=range(1, 9))",
    required=("recurrent", "concat"),
    optional={"combine": MEAN, "highway": True},
)
SPACE_STEPS = 8


@dataclass(frozen=True)
class TopN:
    """An I-DARTS genotype.

    Attributes:
        recurrent: The edges (operation, predecessor) of each node, by predecessor, then operation.
        concat: The states whose mean is the output.
        combine: How the edges of a node are combined: `mean` or `sum`.
        highway: Whether edges have highway gates.
    """

    recurrent: tuple[tuple[Edge, ...], ...]
    concat: tuple[int, ...]
    combine: str = MEAN
    highway: bool = True

    def __str__(self) -> str:
        nodes = ", ".join(
            f"[{', '.join(f'({op!r}, {predecessor})' for op, predecessor in edges)}]"
            for edges in self.recurrent
        )
        options = f", combine={self.combine!r}" if self.steps.has_joints else ""
        options += "" if self.highway else ", highway=False"
        return f"IDARTS(recurrent=[{nodes}], concat={write_states(self.concat)}{options})"

    @property
    def steps(self) -> Steps:
        """The genotype as steps."""
        return Steps(self.recurrent, self.concat, combine=self.combine, highway=self.highway)


def parse(source: str | Mapping[str, Any] | TopN, name: str = "") -> Cell:
    """Read a genotype as a Cell with one state, h.

    Raises:
        NotationError: The text or data is not a genotype; the message names the edge and what would be right.
        CellError: The graph has too many nodes.
    """
    return to_cell(read_genotype(source).steps, name)


def write(cell: Cell) -> str:
    """Write a cell as a genotype.

    Raises:
        NotationError: The cell does not have this form.
    """
    steps = read_steps(cell, FORM)
    if steps.start != "tanh":
        raise cannot_write(FORM, f"state 0 applies {steps.start!r}; expected 'tanh'")
    for step, edges in enumerate(steps.edges, start=1):
        if not edges or any(op == NONE for op, _ in edges):
            raise cannot_write(FORM, f"node {step} has {'an edge of 0' if edges else 'no edge'}")
    recurrent = tuple(ordered(edges) for edges in steps.edges)
    genotype = TopN(recurrent, steps.concat, steps.combine, steps.highway)
    confirm(cell, parse(genotype), FORM)
    return str(genotype)


def sample(generator: random.Random, steps: int = SPACE_STEPS, edges: int = 2, combine: str = MEAN) -> str:
    """Draw a genotype: each node has `edges` (at most 4) distinct edges, all equally likely."""
    recurrent = []
    for step in range(1, steps + 1):
        all_edges = [(op, predecessor) for predecessor in range(step) for op in OPERATIONS]
        recurrent.append(ordered(generator.sample(all_edges, edges)))
    return str(TopN(tuple(recurrent), tuple(range(1, steps + 1)), combine))


def read_genotype(source: str | Mapping[str, Any] | TopN) -> TopN:
    """Read and check a genotype from text or data.

    Raises:
        NotationError: As in `parse`.
    """
    content = vars(source) if isinstance(source, TopN) else FORM.read(source)
    recurrent = [
        _checked_node(step, edges)
        for step, edges in enumerate(checked_recurrent(FORM, content["recurrent"]), start=1)
    ]
    return TopN(
        tuple(recurrent),
        checked_concat(FORM, content["concat"], len(recurrent)),
        FORM.choice(content, "combine", (MEAN, SUM)),
        FORM.switch(content, "highway"),
    )


def _checked_node(step: int, edges: Any) -> tuple[Edge, ...]:
    if not is_list(edges) or not edges:
        raise FORM.fault(f"node {step}: {edges!r:.80} is not a list of at least one (op, predecessor)")
    found: list[Edge] = []
    for edge in edges:
        if is_list(edge) and edge and edge[0] == NONE:
            raise FORM.fault(f"node {step}: 'none' is an operation of the search only, never of a derived cell")
        checked = checked_edge(FORM, step, edge)
        if checked in found:
            raise FORM.fault(f"node {step}: the edge {checked} is repeated")
        found.append(checked)
    return ordered(found)
