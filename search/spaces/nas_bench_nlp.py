"""The space of NAS-Bench-NLP: recipes drawn as by the benchmark's own generator (Klyuchnikov et al. 2020)."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cellzoo.errors import CellzooError
from cellzoo.notations import nas_bench_nlp
from cellzoo.notations.nas_bench_nlp import ACTIVATIONS, OPERATIONS
from search.spaces.choices import nothing_else

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from cellzoo.cells.cell import Cell

MAX_NODES = 24
MAX_STATES = 3
ARITY = 3
_OPS = tuple(OPERATIONS)
_ELEMENTWISE = ("elementwise_prod", "elementwise_sum")
_MOST_SIZES, _MOST_DRAWS = 50, 100


@dataclass(frozen=True)
class Step:
    """A node of a recipe.

    Attributes:
        op: Name of the operation in the notation.
        inputs: Numbers of values: 0 is x, 1 + k is h_prev_k, and 1 + `MAX_STATES` + n is node n.
    """

    op: str
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Recipe:
    """A recipe whose nodes are in topological order.

    Attributes:
        nodes: Each reads x, states and nodes before it.
        after: For each state the number of the node that is its next value; the first one is the output.
    """

    nodes: tuple[Step, ...]
    after: tuple[int, ...]


@dataclass(frozen=True)
class NasBenchNlpSpace:
    """Recipes of the benchmark.

    The published sample mixes sizes, in proportions that are not published. Here the number of states is
    uniform, and so is the number of nodes before those without effect on the output are removed.

    Attributes:
        nodes: The largest number of nodes; the paper has 24.
        states: The largest number of hidden states; the paper has 3.

    Raises:
        CellzooError: A value is out of range.
    """

    nodes: int = MAX_NODES
    states: int = MAX_STATES

    def __post_init__(self) -> None:
        if not 1 <= self.states <= MAX_STATES:
            raise CellzooError(f"states is {self.states}; a recipe has 1 to {MAX_STATES} hidden states")
        if not 3 <= self.nodes <= MAX_NODES:
            raise CellzooError(f"nodes is {self.nodes}; the largest recipe has 3 to {MAX_NODES} nodes")

    def sample(self, generator: random.Random) -> Recipe:
        """Draw a size uniformly, then recipes of that size until one is accepted by the generator's rules.

        If none of many draws is accepted, as for a single node, another size is drawn.

        Raises:
            CellzooError: No size gave a recipe: the space is empty, or nearly so.
        """
        for _ in range(_MOST_SIZES):
            states = generator.randint(1, self.states)
            drawn = generator.randint(1, self.nodes)
            for _ in range(_MOST_DRAWS):
                recipe = nas_bench_nlp.draw(generator, states, drawn - states)
                if recipe is not None and len(recipe) <= self.nodes:
                    return _ordered(recipe, states)
        raise CellzooError(
            f"no recipe of at most {self.nodes} nodes and {self.states} states was accepted in "
            f"{_MOST_SIZES * _MOST_DRAWS} draws; allow more nodes"
        )

    def mutate(self, genotype: Recipe, generator: random.Random) -> Recipe:
        """Replace one operation or one input; all changes that give a valid recipe are equally likely.

        An activation is replaced by another activation, a product by a sum and the reverse. A new input is x, a
        state or an earlier node; see `is_valid` for what a recipe may be.
        """
        changes = list(_changes(genotype))
        generator.shuffle(changes)
        for place, step in changes:
            nodes = (*genotype.nodes[:place], step, *genotype.nodes[place + 1 :])
            mutant = replace(genotype, nodes=nodes)
            if is_valid(mutant):
                return mutant
        raise nothing_else()

    def encode(self, genotype: Recipe) -> tuple[int, ...]:
        """The next value of each state, then operation and inputs of each node; 0 stands for none."""
        numbers = [*(1 + node for node in genotype.after), *[0] * (MAX_STATES - len(genotype.after))]
        for place in range(MAX_NODES):
            step = genotype.nodes[place] if place < len(genotype.nodes) else None
            inputs = () if step is None else tuple(1 + value for value in step.inputs)
            op = 0 if step is None else 1 + _OPS.index(step.op)
            numbers += [op, *inputs, *[0] * (ARITY - len(inputs))]
        return tuple(numbers)

    def to_cell(self, genotype: Recipe, name: str = "") -> Cell:
        """Build the cell."""
        return nas_bench_nlp.parse(to_recipe(genotype), name)


def to_recipe(genotype: Recipe) -> dict[str, dict[str, object]]:
    """Write a genotype as a recipe of the notation."""
    names = {node: f"h_new_{state}" for state, node in enumerate(genotype.after)}
    nodes = [names.get(number, f"node_{number}") for number in range(len(genotype.nodes))]
    values = ["x", *(f"h_prev_{state}" for state in range(MAX_STATES)), *nodes]
    return {
        name: {"op": step.op, "input": [values[value] for value in step.inputs]}
        for name, step in zip(nodes, genotype.nodes, strict=True)
    }


def is_valid(recipe: Recipe) -> bool:
    """Whether a recipe keeps the rules of the generator.

    A linear operation reads x, states and activations; no operation reads a value twice; only linear operations
    read x; no next state reads a state directly; every node, x and every state has an effect on a next state.
    """
    first = 1 + MAX_STATES
    live = {1 + state for state in range(len(recipe.after))}
    for place, step in enumerate(recipe.nodes):
        if len(set(step.inputs)) < len(step.inputs):
            return False
        for value in step.inputs:
            if not (value == 0 or value in live or first <= value < first + place):
                return False
            reads = recipe.nodes[value - first].op if value >= first else ""
            if step.op == "linear" and reads and reads not in ACTIVATIONS:
                return False
            if step.op != "linear" and value == 0:
                return False
    if any(value in live for node in recipe.after for value in recipe.nodes[node].inputs):
        return False
    reached, waiting = set[int](), [first + node for node in recipe.after]
    while waiting:
        value = waiting.pop()
        if value not in reached:
            reached.add(value)
            waiting += recipe.nodes[value - first].inputs if value >= first else ()
    return reached == {0, *live, *range(first, first + len(recipe.nodes))}


def _changes(recipe: Recipe) -> Iterator[tuple[int, Step]]:
    states = range(1, 1 + len(recipe.after))
    for place, step in enumerate(recipe.nodes):
        group = next((ops for ops in (ACTIVATIONS, _ELEMENTWISE) if step.op in ops), ())
        yield from ((place, replace(step, op=op)) for op in group if op != step.op)
        if step.op in ACTIVATIONS:
            continue  # a linear and its activation stay together
        for position in range(len(step.inputs)):
            for value in (0, *states, *range(1 + MAX_STATES, 1 + MAX_STATES + place)):
                if value not in step.inputs:
                    yield (
                        place,
                        replace(step, inputs=(*step.inputs[:position], value, *step.inputs[position + 1 :])),
                    )


def _ordered(recipe: dict[str, dict[str, object]], states: int) -> Recipe:
    """Convert a recipe of the notation; its nodes are numbered in topological order, independent of names."""
    cell = nas_bench_nlp.parse(recipe)
    numbers = {"x": 0} | {f"h_prev_{state}": 1 + state for state in range(states)}
    places = {node.name: place for place, node in enumerate(cell.nodes)}
    numbers |= {name: 1 + MAX_STATES + place for name, place in places.items()}
    nodes = tuple(
        Step(str(recipe[node.name]["op"]), tuple(numbers[source] for source in node.inputs))
        for node in cell.nodes
    )
    return Recipe(nodes, tuple(places[f"h_new_{state}"] for state in range(states)))


def read_recipe(source: str) -> Recipe:
    """Read a recipe of the notation, as JSON text.

    Raises:
        CellzooError: It is not a recipe.
    """
    recipe = json.loads(nas_bench_nlp.write(nas_bench_nlp.parse(source)))
    states = sum(name.startswith("h_new_") for name in recipe)
    return _ordered(recipe, states)
