"""ESS genotypes: a DARTS cell (intra-cell) and two gates that read several earlier steps (inter-cell).

Text: `ESS(recurrent=[('relu', 0), ...], concat=range(1, 9), past_inputs=['tanh', 'relu'],
past_states=['sigmoid', 'drop', 'tanh'], inter_weights='dense')`. Data: a mapping with the same keys, also as
JSON.

Li et al. 2020, "Learning Architectures from an Extended Search Space for Language Modeling", section 3: before
the intra-cell pi (a DARTS genotype, `recurrent` and `concat`) sees them, the previous state and the input are
each multiplied by a gate that the other's past decides,

    h_t = pi(h_{t-1} * gate(x_{t-1}, ..., x_{t-m}),  x_t * gate(h_{t-1}, ..., h_{t-m}))
    gate(e_1, ..., e_m) = mean of s_i,    s_i = f_i(W_i e_i)

`past_inputs` lists f_1, ..., f_m of the gate on h, `past_states` those of the gate on x. An operation is one of
DARTS', or `drop`: the gate does not read that step, and its mean does not count it. A gate without operations,
or with `drop` alone, is left out; without gates the cell is the DARTS cell. The mean is not followed by an
activation, so a gate is not bounded. No biases.

At the start of a sequence the mean runs over the steps that exist, and is 1 where there are none. For this, the
states a_i are 1 where the value i steps ago exists and 0 where it does not (a_1' = 1, a_i' = a_{i-1}):

    gate = (sum of a_i s_i + 1 - a_k) / (sum of a_i + 1 - a_k),     k the first i that the gate reads

The gate on h has the hidden width and W_i is (H, E); the gate on x has the input's width and W_i is (E, H). The
papers have E = H. `inter_weights` selects the form of W_i, which the paper does not specify:

    dense        a matrix for each i (the default; the equation as it stands)
    shared       one matrix per gate
    lowrank:32   a product of two matrices with 32 units between them for each i
    diag         a diagonal for each i; the cell then exists for E = H only

The DARTS cell keeps its highway gates, as in the code that ESS builds on (its parameter counts agree), and
carries the gated h; with `highway=False` state 0 is the paper's tanh(W_h h + W_x x) of gated values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import HIDDEN_WIDTH, INPUT, INPUT_WIDTH, Node, State
from cellzoo.cells.ops import LINEAR, RECAST, VECTOR
from cellzoo.errors import NotationError, unknown
from cellzoo.notations import darts
from cellzoo.notations.literals import Form, write_states
from cellzoo.notations.steps.checks import is_list
from cellzoo.notations.steps.graph import MORE_OPERATIONS, OPERATIONS, Edge, Steps, step_nodes
from cellzoo.notations.steps.reader import StepsReader, cannot_write, confirm

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

DROP = "drop"
DENSE, SHARED, DIAG, LOW_RANK = "dense", "shared", "diag", "lowrank"
MAX_DELAY = 8
FORM = Form(
    label="ESS genotype",
    call="ESS",
    example="ESS(recurrent=[('relu', 0), ...], concat=range(1, 9), past_inputs=[...], past_states=[...])",
    required=("recurrent", "concat"),
    optional={"past_inputs": (), "past_states": (), "inter_weights": DENSE, "highway": True},
)
SPACE_STEPS = 8
SPACE_DELAY = 3


@dataclass(frozen=True)
class Extended:
    """An ESS genotype.

    Attributes:
        recurrent: The edge (operation, predecessor) of each node of the intra-cell.
        concat: The states whose mean is the output.
        past_inputs: The operations on x_{t-1}, x_{t-2}, ... of the gate on h; the last is not `drop`.
        past_states: The operations on h_{t-1}, h_{t-2}, ... of the gate on x; the last is not `drop`.
        inter_weights: `dense`, `shared`, `diag`, or `lowrank:` and a number of units.
        highway: Whether the nodes of the intra-cell have highway gates.
    """

    recurrent: tuple[Edge, ...]
    concat: tuple[int, ...]
    past_inputs: tuple[str, ...] = ()
    past_states: tuple[str, ...] = ()
    inter_weights: str = DENSE
    highway: bool = True

    def __str__(self) -> str:
        edges = ", ".join(f"({op!r}, {predecessor})" for op, predecessor in self.recurrent)
        parts = [f"recurrent=[{edges}]", f"concat={write_states(self.concat)}"]
        parts += [f"past_inputs={list(self.past_inputs)}"] if self.past_inputs else []
        parts += [f"past_states={list(self.past_states)}"] if self.past_states else []
        has_gates = self.past_inputs or self.past_states
        parts += [f"inter_weights={self.inter_weights!r}"] if has_gates else []
        parts += [] if self.highway else ["highway=False"]
        return f"ESS({', '.join(parts)})"


def parse(source: str | Mapping[str, Any] | Extended, name: str = "") -> Cell:
    """Read a genotype as a Cell.

    Its states are h; then, as far back as the gates read, the older h2, h3, ... and x1, x2, ...; then the
    states that tell which steps exist: past1, past2, ... for the gate on h and past1_x, past2_x, ... for the
    gate on x.

    Raises:
        NotationError: The text or data is not a genotype; the message names the edge and what would be right.
    """
    return to_cell(read_genotype(source), name)


def write(cell: Cell) -> str:
    """Write a cell as a genotype.

    Raises:
        NotationError: The cell does not have this form.
    """
    genotype = _GatesReader(cell).genotype()
    text = str(genotype)
    try:
        rebuilt = parse(text)
    except NotationError as error:
        raise cannot_write(FORM, str(error)) from error
    confirm(cell, rebuilt, FORM)
    return text


def sample(
    generator: random.Random,
    steps: int = SPACE_STEPS,
    delay: int = SPACE_DELAY,
    inter_weights: str = DENSE,
) -> str:
    """Draw a genotype: every operation and predecessor is uniform, and no step back is dropped."""
    intra = darts.read_genotype(darts.sample(generator, steps))
    past_inputs = tuple(generator.choice(OPERATIONS) for _ in range(delay))
    past_states = tuple(generator.choice(OPERATIONS) for _ in range(delay))
    return str(Extended(intra.recurrent, intra.concat, past_inputs, past_states, inter_weights))


def read_genotype(source: str | Mapping[str, Any] | Extended) -> Extended:
    """Read and check a genotype from text or data.

    Raises:
        NotationError: As in `parse`.
    """
    content = vars(source) if isinstance(source, Extended) else FORM.read(source)
    intra = darts.checked_genotype(content, FORM)
    weights = content["inter_weights"]
    if not isinstance(weights, str) or not (
        weights in (DENSE, SHARED, DIAG) or re.fullmatch(rf"{LOW_RANK}:[1-9][0-9]{{0,3}}", weights)
    ):
        raise FORM.fault(
            f"inter_weights is {weights!r:.80}; expected 'dense', 'shared', 'diag', or 'lowrank:' and 1 to 9999"
        )
    return Extended(
        intra.recurrent,
        intra.concat,
        _checked_past("past_inputs", content["past_inputs"]),
        _checked_past("past_states", content["past_states"]),
        weights,
        intra.highway,
    )


def to_cell(genotype: Extended, name: str = "") -> Cell:
    """Build the graph of a genotype."""
    on_h = _Gate(genotype.past_inputs, genotype.inter_weights, "h", INPUT_WIDTH, HIDDEN_WIDTH)
    on_x = _Gate(genotype.past_states, genotype.inter_weights, INPUT, HIDDEN_WIDTH, INPUT_WIDTH)
    intra = Steps(tuple((edge,) for edge in genotype.recurrent), genotype.concat, highway=genotype.highway)
    nodes = [*on_h.nodes(), *on_x.nodes(), *step_nodes(intra, on_x.gated, on_h.gated)]
    states = [State("h", "h_next"), *on_x.delays()[1:], *on_h.delays(), *on_h.existence(), *on_x.existence()]
    return Cell(tuple(states), tuple(nodes), "h_next", name=name)


@dataclass(frozen=True)
class _Gate:
    """One gate.

    Attributes:
        operations: For each step back.
        weights: The form of W_i, as `inter_weights`.
        target: The value that it multiplies: h or x.
        source_width: The width of the values that it reads.
        width: The width of the gate and of its target.
    """

    operations: tuple[str, ...]
    weights: str
    target: str
    source_width: str
    width: str

    @property
    def name(self) -> str:
        return f"gate_{self.target}"

    @property
    def gated(self) -> str:
        """The value that the intra-cell sees for the target."""
        return f"{self.target}_gated" if self.operations else self.target

    def delayed(self, delay: int) -> str:
        """The value that the gate reads, `delay` steps back."""
        if self.source_width == INPUT_WIDTH:
            return f"x{delay}"
        return "h" if delay == 1 else f"h{delay}"

    def exists(self, delay: int) -> str:
        """The state that is 1 where that value exists and 0 elsewhere, in the width of the gate."""
        return f"past{delay}" if self.width == HIDDEN_WIDTH else f"past{delay}_x"

    def delays(self) -> list[State]:
        """The states that carry the values that the gate reads, from one step back on."""
        values = [INPUT if self.source_width == INPUT_WIDTH else "h_next"]
        values += [self.delayed(delay) for delay in range(1, len(self.operations) + 1)]
        return [State(name, before, self.source_width) for before, name in pairwise(values)]

    def existence(self) -> list[State]:
        """The states that tell which steps exist."""
        values = [f"{self.name}_one", *(self.exists(delay) for delay in range(1, len(self.operations) + 1))]
        return [State(name, before, self.width) for before, name in pairwise(values)]

    def nodes(self) -> list[Node]:
        """The nodes that compute the gated value."""
        if not self.operations:
            return []
        gate, one, absent = self.name, f"{self.name}_one", f"{self.name}_absent"
        nodes = [Node(one, "one", width=self.width)]
        looked_at = [delay for delay, op in enumerate(self.operations, start=1) if op != DROP]
        for delay in looked_at:
            nodes += self._product(delay)
            nodes.append(Node(f"{gate}_s{delay}", self.operations[delay - 1], (f"{gate}_u{delay}",)))
            nodes.append(Node(f"{gate}_t{delay}", "multiply", (self.exists(delay), f"{gate}_s{delay}")))
        terms = tuple(f"{gate}_t{delay}" for delay in looked_at)
        existing = tuple(map(self.exists, looked_at))
        return [
            *nodes,
            Node(absent, "subtract", (one, existing[0])),
            Node(f"{gate}_sum", "add", (*terms, absent)),
            Node(f"{gate}_count", "add", (*existing, absent)),
            Node(gate, "divide", (f"{gate}_sum", f"{gate}_count")),
            Node(self.gated, "multiply", (self.target, gate)),
        ]

    def _product(self, delay: int) -> list[Node]:
        """W_i e_i, named u1, u2, ..."""
        name, source = f"{self.name}_u{delay}", self.delayed(delay)
        weight = f"{self.name}_w" if self.weights == SHARED else f"{self.name}_w{delay}"
        if self.weights == DIAG:
            return [
                Node(f"{name}_w", VECTOR, (), (weight,), width=self.source_width),
                Node(f"{name}_e", "multiply", (source, f"{name}_w")),
                Node(name, RECAST, (f"{name}_e",)),
            ]
        if self.weights in (DENSE, SHARED):
            return [Node(name, LINEAR, (source,), (weight,), width=self.width)]
        rank = self.weights.removeprefix(f"{LOW_RANK}:")
        return [
            Node(f"{name}_r", LINEAR, (source,), (f"{weight}_in",), width=rank),
            Node(name, LINEAR, (f"{name}_r",), (f"{weight}_out",), width=self.width),
        ]


class _GatesReader:
    """Recognises gates and intra-cell in a graph by its structure; `confirm` must check the result."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.steps = StepsReader(cell, FORM)
        self.h = cell.states[0].name
        self.kinds: set[str] | None = None

    def genotype(self) -> Extended:
        gated: dict[str, str] = {}
        past: dict[str, tuple[str, ...]] = {}
        for node in self.steps.nodes.values():
            targets = [source for source in node.inputs if source in (self.h, INPUT)]
            gates = [source for source in node.inputs if self._is(source, "divide")]
            if node.op == "multiply" and len(targets) == len(gates) == 1:
                gated[targets[0]] = node.name
                past[targets[0]] = self._operations(self.steps.nodes[gates[0]])
        steps = self.steps.read(gated.get(INPUT, INPUT), gated.get(self.h, self.h))
        intra = darts.to_genotype(steps, FORM)
        kinds = {DENSE} if self.kinds is None else self.kinds
        if not kinds:
            raise cannot_write(FORM, "its two gates have weights of two kinds")
        return Extended(
            intra.recurrent,
            intra.concat,
            past.get(self.h, ()),
            past.get(INPUT, ()),
            DENSE if DENSE in kinds else min(kinds),
            intra.highway,
        )

    def _operations(self, gate: Node) -> tuple[str, ...]:
        """The operations of a gate, `drop` for the steps that it does not read."""
        found: dict[int, tuple[str, str]] = {}
        terms = self.steps.nodes[gate.inputs[0]].inputs if self._is(gate.inputs[0], "add") else ()
        for term in terms:
            if not self._is(term, "multiply"):
                continue
            first, second = self.steps.nodes[term].inputs
            for exists, value in ((first, second), (second, first)):
                delay = self._delay(exists)
                if delay:
                    found[delay] = self.steps.activation(value)
        if not found:
            raise cannot_write(FORM, f"{gate.name!r} divides what is not a sum over steps back")
        kinds = self._kinds([product for _, product in found.values()])
        self.kinds = kinds if self.kinds is None else self.kinds & kinds
        return tuple(found.get(delay, (DROP, ""))[0] for delay in range(1, max(found) + 1))

    def _delay(self, name: str) -> int:
        """The number of steps back to which a state of `existence` refers; 0 for other values."""
        after = {state.name: self.steps.resolve(state.next) for state in self.cell.states}
        delay = 0
        while name in after and delay <= len(after):
            name, delay = after[name], delay + 1
        return delay if self._is(name, "one") else 0

    def _kinds(self, products: Sequence[str]) -> set[str]:
        """The values of `inter_weights` that are consistent with a gate's products."""
        nodes = [self.steps.nodes[name] for name in products if name in self.steps.nodes]
        if any(node.op == RECAST for node in nodes):
            return {DIAG}
        inner = [self.steps.nodes.get(source) for node in nodes for source in node.inputs]
        rank = next((node.width for node in inner if node is not None and node.width.isdecimal()), None)
        if rank is not None:
            return {f"{LOW_RANK}:{rank}"}
        weights = [weight for node in nodes for weight in node.weights]
        if len(weights) == 1:
            return {DENSE, SHARED}
        return {SHARED} if len(set(weights)) < len(weights) else {DENSE}

    def _is(self, name: str, op: str) -> bool:
        return name in self.steps.nodes and self.steps.nodes[name].op == op


def _checked_past(part: str, operations: Any) -> tuple[str, ...]:
    if not is_list(operations):
        raise FORM.fault(
            f"{part} is {operations!r:.80}; expected a list of operations, for 1, 2, ... steps back"
        )
    if len(operations) > MAX_DELAY:
        raise FORM.fault(f"{part} reads {len(operations)} steps back; at most {MAX_DELAY} are read")
    known = (*OPERATIONS, *MORE_OPERATIONS, DROP)
    for delay, op in enumerate(operations, start=1):
        if not isinstance(op, str) or op not in known:
            raise FORM.fault(f"{part}, {delay} steps back: {unknown('operation', str(op)[:80], known)}")
    last = max((delay for delay, op in enumerate(operations, start=1) if op != DROP), default=0)
    return tuple(operations[:last])
