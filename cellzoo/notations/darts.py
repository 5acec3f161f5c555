"""DARTS recurrent genotypes.

Text: `Genotype(recurrent=[('relu', 0), ...], concat=range(1, 9))`. Data: a mapping with the same keys, also as
JSON.

Node i applies an operation to one earlier state p (Liu et al. 2019, "DARTS", section 2.1 and appendix; where
the paper is ambiguous, rnn/model.py of quark0/darts decides):

    s_0 = h + sigmoid(c_0) * (tanh(u_0) - h),        [c_0, u_0] = W_0 [x, h]
    s_i = s_p + sigmoid(c_i) * (f_i(u_i) - s_p),     [c_i, u_i] = W_i s_p
    h'  = mean of s_j over j in concat

No biases. Dropout masks act on x, h and s_p where a matrix multiplies them, never on the carried value.

Two parts are optional:

`none='zero'` gives the operation `none` the meaning that it has in the GDAS code (D-X-Y/AutoDL-Projects), where
f(u) = 0 * u: the node is (1 - sigmoid(c_i)) * s_p, which is not 0, and the half of W_i that computes u has no
effect and is left out. The default, `none='refuse'`, is quark0's: `none` weakens the other operations during
the search, and a derived cell that contains it is an error.

`highway=False` leaves out the gates, as the equations of the papers do (all published code has them):
s_0 = tanh(W_0 [x, h]), s_i = f_i(W_i s_p).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellzoo.notations.literals import Form, write_states
from cellzoo.notations.steps.checks import checked_concat, checked_edge, checked_recurrent
from cellzoo.notations.steps.graph import NONE, OPERATIONS, Edge, Steps, to_cell
from cellzoo.notations.steps.reader import cannot_write, confirm, read_steps

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from cellzoo.cells.cell import Cell

REFUSE, ZERO = "refuse", "zero"
FORM = Form(
    label="DARTS genotype",
    call="Genotype",
    example="Genotype(recurrent=[('relu', 0), ...], concat=range(1, 9))",
    required=("recurrent", "concat"),
    optional={"none": REFUSE, "highway": True},
)
SPACE_STEPS = 8


@dataclass(frozen=True)
class Genotype:
    """A DARTS genotype.

    Attributes:
        recurrent: Node i + 1 applies `recurrent[i][0]` to state `recurrent[i][1]`; state 0 is s_0.
        concat: The states whose mean is the output.
        none: What the operation `none` means: `refuse` or `zero`.
        highway: Whether nodes have highway gates.
    """

    recurrent: tuple[Edge, ...]
    concat: tuple[int, ...]
    none: str = REFUSE
    highway: bool = True

    def __str__(self) -> str:
        edges = ", ".join(f"({op!r}, {predecessor})" for op, predecessor in self.recurrent)
        options = "" if self.none == REFUSE else f", none={self.none!r}"
        options += "" if self.highway else ", highway=False"
        return f"Genotype(recurrent=[{edges}], concat={write_states(self.concat)}{options})"

    @property
    def steps(self) -> Steps:
        """The genotype as steps of one edge each."""
        return Steps(tuple((edge,) for edge in self.recurrent), self.concat, highway=self.highway)


def parse(source: str | Mapping[str, Any] | Genotype, name: str = "") -> Cell:
    """Read a genotype as a Cell with one state, h.

    Raises:
        NotationError: The text or data is not a genotype; the message names the edge and what would be right.
    """
    return to_cell(read_genotype(source).steps, name)


def write(cell: Cell) -> str:
    """Write a cell as a genotype.

    Raises:
        NotationError: The cell does not have this form.
    """
    genotype = to_genotype(read_steps(cell, FORM), FORM)
    confirm(cell, parse(genotype), FORM)
    return str(genotype)


def sample(generator: random.Random, steps: int = SPACE_STEPS) -> str:
    """Draw a genotype: operation and predecessor of each node are uniform, all nodes are averaged.

    This is the space of the random search of Li & Talwalkar 2019, "Random Search and
    Reproducibility for NAS", section 4.1.
    """
    edges = tuple((generator.choice(OPERATIONS), generator.randrange(step)) for step in range(1, steps + 1))
    return str(Genotype(edges, tuple(range(1, steps + 1))))


def read_genotype(source: str | Mapping[str, Any] | Genotype) -> Genotype:
    """Read and check a genotype from text or data.

    Raises:
        NotationError: As in `parse`.
    """
    return checked_genotype(vars(source) if isinstance(source, Genotype) else FORM.read(source), FORM)


def checked_genotype(content: Mapping[str, Any], form: Form) -> Genotype:
    """Check the parts of a genotype, which may be part of another notation's text.

    Args:
        content: The parts `recurrent`, `concat`, `highway`, and `none` where the notation has it.
        form: The notation.

    Raises:
        NotationError: As in `parse`.
    """
    none = form.choice(content, "none", (REFUSE, ZERO)) if "none" in content else REFUSE
    highway = form.switch(content, "highway")
    edges = []
    for step, edge in enumerate(checked_recurrent(form, content["recurrent"]), start=1):
        op, predecessor = checked_edge(form, step, edge, none=True)
        if op == NONE and none == REFUSE:
            hint = f"; the part none={ZERO!r} gives it a meaning" if "none" in form.optional else ""
            raise form.fault(
                f"node {step}: 'none' is an operation of the search only, never of a derived cell{hint}"
            )
        if op == NONE and not highway:
            raise form.fault(f"node {step}: 'none' with highway=False is 0 whatever it reads")
        edges.append((op, predecessor))
    return Genotype(tuple(edges), checked_concat(form, content["concat"], len(edges)), none, highway)


def to_genotype(steps: Steps, form: Form) -> Genotype:
    """Turn steps that were read from a cell into a genotype.

    Raises:
        NotationError: A genotype cannot express them.
    """
    for step, edges in enumerate(steps.edges, start=1):
        if len(edges) != 1:
            raise cannot_write(form, f"node {step} has {len(edges)} edges; expected one")
    if steps.start != "tanh":
        raise cannot_write(form, f"state 0 applies {steps.start!r}; expected 'tanh'")
    recurrent = tuple(edges[0] for edges in steps.edges)
    none = ZERO if any(op == NONE for op, _ in recurrent) else REFUSE
    return Genotype(recurrent, steps.concat, none, steps.highway)
