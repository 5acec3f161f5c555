"""Recipes of NAS-Bench-NLP (Klyuchnikov et al. 2020, arXiv 2006.07116).

A recipe is a mapping node -> {op, input}, as JSON text, as a Python literal or as data, with the keys in any
order. It may stand in a record or a log, such as the released ones under the key `recepie`.

    {"f": {"op": "linear", "input": ["x", "h_prev_0"]}, "h_new_0": {"op": "activation_tanh", "input": ["f"]}}

Semantics, as in search_space.py and custom_rnn.py of fmsnew/nas-bench-nlp-release:

    linear                    W_1 input_1 + W_2 input_2 + ... + b: a matrix for each input, one bias
    blend                     z * a + (1 - z) * b for the inputs z, a, b in this order
    elementwise_prod, _sum    of two inputs
    activation_tanh, _sigm, _leaky_relu (slope 0.01)

x may enter linear alone. h_prev_k is the state k, and the node h_new_k, k in digits, computes its next value;
the states are 0 to the largest k of h_new_k, and the output is h_new_0. Any other name, such as h_new_1_act, is
that of an ordinary node.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cellzoo.cells.canonical import canonical_form
from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import HIDDEN_WIDTH, INPUT, Node, State
from cellzoo.cells.ops import LINEAR
from cellzoo.cells.validation import MAX_STATES
from cellzoo.errors import NotationError, unknown
from cellzoo.notations.expressions import read_expression
from cellzoo.notations.finding import MAX_JSON, UNREADABLE, Finder, read_json
from cellzoo.notations.plain import plain

if TYPE_CHECKING:
    import random

MAX_TEXT = 20_000
MAX_NODES = 100
# Recipe's operation -> primitive, number of inputs (0 for one or more).
OPERATIONS = {
    "linear": (LINEAR, 0),
    "blend": ("blend", 3),
    "elementwise_prod": ("multiply", 2),
    "elementwise_sum": ("add", 2),
    "activation_tanh": ("tanh", 1),
    "activation_sigm": ("sigmoid", 1),
    "activation_leaky_relu": ("leaky_relu", 1),
}
ACTIVATIONS = tuple(name for name in OPERATIONS if name.startswith("activation"))
_NAMES = {primitive: name for name, (primitive, _) in OPERATIONS.items()}
_FORM = '{"h_new_0": {"op": "linear", "input": ["x", "h_prev_0"]}}'
_STARTS = re.compile(r"\{")
_NODE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_STATE_NAME = re.compile(r"h_(prev|new)_(\d+)", re.ASCII)


def parse(source: str | Mapping[str, Any], name: str = "") -> Cell:
    """Read a recipe, as JSON text or as data, as a Cell with the states h_prev_0, h_prev_1, ...

    Raises:
        NotationError: The text or data is not a recipe; the message names the node and what would be right.
        CellError: The recipe reads as a graph that is not a valid cell.
    """
    recipe = _recipe(plain(source))
    if not isinstance(recipe, Mapping) or not recipe:
        raise NotationError(f"recipe: expected a mapping such as {_FORM}, found {recipe!r:.80}")
    if len(recipe) > MAX_NODES:
        raise NotationError(f"recipe: {len(recipe)} nodes; at most {MAX_NODES} are read")
    states = _count_states(recipe)
    known = {INPUT, *(f"h_prev_{index}" for index in range(states)), *recipe}
    nodes = {key: _read_node(key, spec, known, states) for key, spec in recipe.items()}
    return Cell(
        tuple(State(f"h_prev_{index}", f"h_new_{index}") for index in range(states)),
        tuple(_in_order(nodes)),
        "h_new_0",
        name=name,
    )


def write(cell: Cell) -> str:
    """Write a cell as a recipe in JSON; equal graphs give equal texts.

    Raises:
        NotationError: The cell cannot be written in this notation; the message says why.
    """
    form = canonical_form(cell)
    _check_writable(form)
    names = {INPUT: INPUT} | {state.name: f"h_prev_{index}" for index, state in enumerate(form.states)}
    for index, state in enumerate(form.states):
        if state.next in names:
            raise _cannot(f"its states {names[state.next]} and h_new_{index} would be one node or no node")
        names[state.next] = f"h_new_{index}"
    ordinary = [node.name for node in form.nodes if node.name not in names]
    names |= {node: f"node_{index}" for index, node in enumerate(ordinary)}
    recipe = {
        names[node.name]: {"op": _NAMES[node.op], "input": [names[source] for source in node.inputs]}
        for node in form.nodes
    }
    if len(recipe) > MAX_NODES:
        raise _cannot(f"it has {len(recipe)} nodes; at most {MAX_NODES} are read")
    text = json.dumps(recipe)
    if len(text) > MAX_TEXT:
        raise _cannot(f"the text has {len(text)} characters; at most {MAX_TEXT} are read")
    return text


def sample(generator: random.Random, *, hidden_states: int = 2, intermediate_nodes: int = 7) -> str:
    """Draw a recipe as the benchmark's own generator does, with its default weights.

    Nodes are drawn until there are `hidden_states + intermediate_nodes`: linear with weight 3, of two inputs
    (weight 4) or three (1) among x, the states and the activations before, followed at once by a uniform
    activation; blend, product and sum with weight 1 each, among the states and all nodes before. Then
    `hidden_states` nodes become the new states and dead nodes are removed. Recipes that do not read x and each
    state, or in which a new state reads a state directly, are rejected and drawn again.

    Candidates are listed in a fixed order, so a seed gives the same recipe in every process.
    """
    while True:
        recipe = draw(generator, hidden_states, intermediate_nodes)
        if recipe is not None:
            return json.dumps(recipe)


def draw(
    generator: random.Random, hidden_states: int, intermediate_nodes: int
) -> dict[str, dict[str, Any]] | None:
    """Draw once, as `sample` does; None where the recipe does not pass the benchmark's checks."""
    before = [f"h_prev_{index}" for index in range(hidden_states)]
    recipe: dict[str, dict[str, Any]] = {}
    activations: list[str] = []
    while len(recipe) < hidden_states + intermediate_nodes:
        op = generator.choices(("linear", "blend", "elementwise_prod", "elementwise_sum"), (3, 1, 1, 1))[0]
        if op == "linear":
            candidates = [INPUT, *before, *activations]
            count = min(generator.choices((2, 3), (4, 1))[0], len(candidates))
            product = f"node_{len(recipe)}"
            recipe[product] = {"op": op, "input": generator.sample(candidates, count)}
            activations.append(f"node_{len(recipe)}")
            recipe[activations[-1]] = {"op": generator.choice(ACTIVATIONS), "input": [product]}
        else:
            candidates = [*before, *recipe]
            count = OPERATIONS[op][1]
            if count <= len(candidates):
                recipe[f"node_{len(recipe)}"] = {"op": op, "input": generator.sample(candidates, count)}
    if len(recipe) < hidden_states:
        return None
    chosen = generator.sample(list(recipe), hidden_states)
    renamed = {name: f"h_new_{index}" for index, name in enumerate(chosen)}
    kept = [name for name in recipe if name not in renamed]
    recipe = {
        renamed.get(name, name): {
            "op": recipe[name]["op"],
            "input": [renamed.get(source, source) for source in recipe[name]["input"]],
        }
        for name in (*kept, *chosen)
    }
    reached = set(renamed.values())
    waiting = list(reached)
    while waiting:
        found = set(recipe.get(waiting.pop(), {"input": ()})["input"]) - reached
        reached |= found
        waiting += found
    direct = any(set(recipe[name]["input"]) & set(before) for name in renamed.values())
    if direct or not {INPUT, *before} <= reached:
        return None
    return {name: spec for name, spec in recipe.items() if name in reached}


def _recipe(content: Any) -> Any:
    """Find the recipe: the source itself, or within a record, a log, or a text in one of them."""
    error = None
    if isinstance(content, str):
        try:
            content = _read_text(content)
        except NotationError as caught:
            error = caught
    if isinstance(content, Mapping) and (_is_meant(content) or "h_new_0" in content):
        return content
    finder = Finder(_is_meant, _read_part, _STARTS)
    found = finder.find(content)
    if len(found) > 1:
        raise NotationError(f"recipe: found {len(found)} that differ; give one of them alone: {_FORM}")
    if found:
        return found[0]
    if error is not None:
        raise error
    return content


def _is_meant(content: Mapping[str, Any]) -> bool:
    """Whether a mapping looks like a recipe: most of its values look like nodes."""
    nodes = [
        value for value in content.values() if isinstance(value, Mapping) and {"op", "input"} <= set(value)
    ]
    return 2 * len(nodes) > len(content)


def _read_part(text: str) -> Any:
    """Read JSON or a Python literal; raises the errors in `UNREADABLE`."""
    try:
        return read_json(text)
    except json.JSONDecodeError:
        if len(text) > MAX_TEXT:
            raise
        return read_expression(text)


def _read_text(text: str) -> Any:
    if len(text) > MAX_JSON:
        raise NotationError(f"recipe: {len(text)} characters; at most {MAX_TEXT} are read")
    try:
        return read_json(text)
    except json.JSONDecodeError as error:
        if len(text) > MAX_TEXT:
            raise NotationError(f"recipe: {len(text)} characters; at most {MAX_TEXT} are read") from error
        try:
            return read_expression(text)
        except UNREADABLE:
            place = f"line {error.lineno}, column {error.colno}"
            raise NotationError(f"recipe: {place}: {error.msg}; expected JSON such as {_FORM}") from error
    except (RecursionError, ValueError) as error:
        raise NotationError(f"recipe: not readable ({error}); expected JSON such as {_FORM}") from error


def _count_states(recipe: Mapping[str, Any]) -> int:
    """Check the nodes' names; return 1 + the largest k of h_new_k."""
    indices = set()
    for key in recipe:
        if not isinstance(key, str) or not _NODE_NAME.fullmatch(key):
            raise NotationError(
                f"recipe: node name {key!r:.80}: expected a letter or _ and at most 63 letters, digits or _"
            )
        match = _STATE_NAME.fullmatch(key)
        if key == INPUT or (match and match.group(1) == "prev"):
            raise NotationError(f"recipe: {key!r} is the input or a state before the step; it cannot be a node")
        if match:
            indices.add(_state_index(key, match.group(2)))
    missing = next((index for index in range(MAX_STATES) if index not in indices), MAX_STATES)
    if not indices or missing < max(indices):
        has = f" although h_new_{max(indices)} does" if indices else ""
        raise NotationError(f"recipe: h_new_{missing} does not exist{has}; each state needs its next value")
    return len(indices)


def _state_index(name: str, digits: str) -> int:
    if len(digits) > 4 or int(digits) >= MAX_STATES or digits != str(int(digits)):
        raise NotationError(
            f"recipe: {name!r:.80}: expected a state's number from 0 to {MAX_STATES - 1} without leading zeros"
        )
    return int(digits)


def _read_node(key: str, spec: Any, known: set[str], states: int) -> Node:
    where = f"recipe: node {key!r}"
    if not isinstance(spec, Mapping) or set(spec) != {"op", "input"}:
        raise NotationError(f'{where}: is {spec!r:.80}; expected {{"op": ..., "input": [...]}}')
    op, inputs = spec["op"], spec["input"]
    if not isinstance(op, str) or op not in OPERATIONS:
        raise NotationError(f"{where}: {unknown('operation', str(op)[:80], OPERATIONS)}")
    primitive, arity = OPERATIONS[op]
    if isinstance(inputs, str) or not isinstance(inputs, Sequence) or not inputs:
        raise NotationError(f"{where}: input is {inputs!r:.80}; expected a list of at least one name")
    if arity and len(inputs) != arity:
        raise NotationError(f"{where}: {op} takes {arity} input(s), not {len(inputs)}")
    for source in inputs:
        if not isinstance(source, str) or source not in known:
            hint = f"the states are h_prev_0 to h_prev_{states - 1}"
            raise NotationError(f"{where}: {unknown('input', str(source)[:80], known, f'Here {hint}.')}")
        if source == key:
            raise NotationError(f"{where}: reads itself")
        if source == INPUT and primitive != LINEAR:
            raise NotationError(f"{where}: {op} reads x; x may only enter linear, which gives the hidden width")
    if primitive != LINEAR:
        return Node(key, primitive, tuple(inputs))
    weights = tuple(f"{key}_{position}" for position in range(len(inputs)))
    return Node(key, primitive, tuple(inputs), weights, f"{key}_b")


def _in_order(nodes: Mapping[str, Node]) -> list[Node]:
    """Sort topologically, keeping the given order where possible; raise an error that names a cycle."""
    ordered: list[Node] = []
    done: set[str] = set()
    waiting = list(nodes.values())
    while waiting:
        ready = [
            node for node in waiting if all(source in done or source not in nodes for source in node.inputs)
        ]
        if not ready:
            raise NotationError(
                f"recipe: the nodes {_cycle(waiting)} form a cycle; a node reads earlier values"
            )
        ordered.append(ready[0])
        done.add(ready[0].name)
        waiting.remove(ready[0])
    return ordered


def _cycle(waiting: Sequence[Node]) -> str:
    """Name one cycle among nodes each of which waits for another one."""
    names = {node.name for node in waiting}
    blocked = {node.name: next(source for source in node.inputs if source in names) for node in waiting}
    path = [waiting[0].name]
    while blocked[path[-1]] not in path:
        path.append(blocked[path[-1]])
    loop = path[path.index(blocked[path[-1]]) :]
    shown = [*loop[:6], *(["..."] if len(loop) > 6 else []), loop[0]]
    return " <- ".join(shown)


def _check_writable(cell: Cell) -> None:
    used: set[str] = set()
    for node in cell.nodes:
        if node.op not in _NAMES:
            raise _cannot(f"no recipe has the operation {node.op!r}; recipes have {', '.join(OPERATIONS)}")
        arity = OPERATIONS[_NAMES[node.op]][1]
        if arity and len(node.inputs) != arity:
            raise _cannot(f"{_NAMES[node.op]} takes {arity} inputs, not {len(node.inputs)}")
        if node.op == LINEAR and node.bias is None:
            raise _cannot("it has a linear without a bias; each linear of a recipe has one")
        if node.op == LINEAR and node.width != HIDDEN_WIDTH:
            raise _cannot(
                f"it has a linear of the width {node.width}; each linear of a recipe gives the hidden one"
            )
        if node.op != LINEAR and INPUT in node.inputs:
            raise _cannot(f"{node.op} reads x; in a recipe only linear does")
        for weight in (*node.weights, *([] if node.bias is None else [node.bias])):
            if weight in used:
                raise _cannot("it shares weights; in a recipe each linear has its own")
            used.add(weight)
    if any(state.width != HIDDEN_WIDTH for state in cell.states):
        raise _cannot("it carries an input to the next step; the states of a recipe have the hidden width")
    if cell.output != cell.states[0].next:
        raise _cannot("its output is not the next value of its first state")


def _cannot(why: str) -> NotationError:
    return NotationError(f"recipe: the cell cannot be written in this notation: {why}")
