r"""Hand-written equations, one a line.

    i = sigmoid(linear(x, h))        # a product with a matrix for each argument, and one bias
    f = sigmoid(linear(x, h))
    o = sigmoid(linear(x, h))
    g = tanh(linear(x, h))
    c' = f * c + i * g               # c' is the next value of the state c
    h' = o * tanh(c')                # the output is h', unless a line `output = ...` says otherwise

`linear(x, h; bias=no)` has no bias; `linear(h; width=input)` has the width of x, for results that are combined
with x itself, and `linear(h; width=32)` has 32 units. `linear(x, h; heads=4)` has block-diagonal matrices:
each quarter of the units reads a quarter of x and of h. Weights are shared by name: `linear[W](x, h)` has the
matrices W_0 and W_1 and the bias W_b, as every other `linear[W]`; `linear(x: A, h; bias=b)` names a single
matrix or the bias, and unnamed weights are not shared. `vector[p]` and `scalar[a]` are weights of shape (H,)
and (1,); `vector[p; width=input]` has another width. Functions: the primitives of `cellzoo.cells.ops`.
Operators: `+`, `-`, `*`, `/`, parentheses. Numbers: `0.5`, `-8`, `1e-3`, and `2[width=input]` for one of the
width of x; `-a` is 0 - a. Each primed equation defines a state; h comes first, the others in the order of their
equations. A state whose next value is x itself, `x1' = x`, is a delayed input. `d'[input] = ...` declares that
d has the width of x where that does not follow from the equations.

`write` can write every cell in this notation.
"""

from __future__ import annotations

import re
from typing import Any

from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import INPUT, Node, State
from cellzoo.errors import NotationError
from cellzoo.notations.equations_reader import WIDTHS, Expression, Token, read_expression, read_tokens
from cellzoo.notations.equations_writer import write_lines
from cellzoo.notations.widths import state_widths
from cellzoo.notations.within import read_within

MAX_TEXT = 20_000
# A semicolon that separates equations; within brackets it separates arguments and options.
_SEPARATOR = re.compile(r";(?![^(\[]*[)\]])")


def parse(source: Any, name: str = "") -> Cell:
    """Read equations as a Cell: a text, a list of lines, or one such text within JSON, source code or a dict.

    Raises:
        NotationError: The message names the line, the token and what would be right.
    """
    return read_within(
        source,
        lambda text: _read(text, name),
        label="equations",
        example="h' = tanh(linear(x, h))",
        largest=MAX_TEXT,
    )


def _read(source: str, name: str) -> Cell:
    if len(source) > MAX_TEXT:
        raise NotationError(f"equations: {len(source)} characters; at most {MAX_TEXT} are read")
    lines = [
        (number, text)
        for number, line in enumerate(source.split("\n"), start=1)
        for part in _SEPARATOR.split(line.split("#", 1)[0])
        if (text := part.strip())
    ]
    if not lines:
        raise NotationError("equations: empty; expected lines such as h' = tanh(linear(x, h))")
    return _Builder(lines).build(name)


def write(cell: Cell) -> str:
    """Write any cell as equations that `parse` reads as the same cell.

    Raises:
        NotationError: The text would be longer than `MAX_TEXT`.
    """
    text = "\n".join(write_lines(cell)) + "\n"
    if len(text) > MAX_TEXT:
        raise NotationError(
            f"equations: the cell takes {len(text)} characters in this notation; at most {MAX_TEXT} are read"
        )
    return text


class _Builder:
    """Builds the nodes of a cell from its lines, in order."""

    def __init__(self, lines: list[tuple[int, str]]) -> None:
        self.lines = [(number, *_split(number, read_tokens(number, text))) for number, text in lines]
        self.targets = {target for _, target, _, _ in self.lines}
        primed = [target[:-1] for _, target, _, _ in self.lines if target.endswith("'")]
        self.states = sorted(dict.fromkeys(primed), key=lambda state: state != "h")
        self.values: dict[str, str] = {INPUT: INPUT, **{state: state for state in self.states}}
        self.taken = {INPUT, *self.states, *map(_node_name, self.targets)}
        self.declared: dict[str, str] = {}
        self.nodes: list[Node] = []
        # Weight name -> whether the text names it; otherwise it is generated from a node's name.
        self.named: dict[str, bool] = {}

    def build(self, name: str) -> Cell:
        for number, target, width, tokens in self.lines:
            if target == "output'":
                raise NotationError(
                    f"equations: line {number}: 'output' is reserved for the cell's output; "
                    "choose another name for the state"
                )
            if target in (INPUT, *self.states):
                raise NotationError(
                    f"equations: line {number}: {target!r} is the input or a state; "
                    f"write a state's next value as {target}'"
                )
            if target in self.values:
                raise NotationError(f"equations: line {number}: {target!r} is defined twice")
            if width:
                self.declared[target[:-1]] = width
            expression = read_expression(number, tokens, self.values, self.targets)
            self.values[target] = self._emit(number, expression, _node_name(target), root=True)
        if not self.states:
            raise NotationError("equations: no state; one line must define a next value, such as h' = ...")
        output = self.values.get("output", self.values[f"{self.states[0]}'"])
        after = {state: self.values[f"{state}'"] for state in self.states}
        widths = state_widths(self.nodes, after, self.declared)
        for state, width in self.declared.items():
            if widths[state] != width:
                raise NotationError(
                    f"equations: {state}' is declared to have the {width} width, but its equation gives the "
                    f"{widths[state]} width"
                )
        states = tuple(State(state, after[state], widths[state]) for state in self.states)
        return Cell(states, tuple(self.nodes), output, name=name)

    def _emit(self, number: int, expression: str | Expression, target: str, *, root: bool) -> str:
        """Append the nodes of an expression, the root named `target`, and return the root's name."""
        if isinstance(expression, str):
            return expression
        inputs = tuple([self._emit(number, part, target, root=False) for part in expression.arguments])
        name, suffix = target, 0
        while name in self.taken and not root:
            suffix += 1
            name = f"{target}_{suffix}"
        self.taken.add(name)
        weights = tuple(
            self._weight(number, given, f"{name}_{position}")
            for position, given in enumerate(expression.weights)
        )
        bias = None
        if expression.bias != "no":
            given = None if expression.bias == "yes" else expression.bias
            bias = self._weight(number, given, f"{name}_b")
        self.nodes.append(
            Node(
                name, expression.op, inputs, weights, bias, expression.width, expression.heads, expression.value
            )
        )
        return name

    def _weight(self, number: int, given: str | None, own: str) -> str:
        """Return the given name of a weight, or its generated one; raise where the two kinds collide."""
        name = given or own
        if self.named.setdefault(name, given is not None) != (given is not None):
            raise NotationError(
                f"equations: line {number}: the weight name {name!r} is also the generated name of an unnamed "
                "weight; choose another name"
            )
        return name


def _split(number: int, tokens: list[Token]) -> tuple[str, str, list[Token]]:
    """Split a line into target, declared width (empty for none) and the tokens of the right-hand side."""
    texts = [token.text for token in tokens]
    if texts[1:2] == ["["] and len(tokens) > 5:
        if not texts[0].endswith("'") or texts[2] not in WIDTHS or texts[3] != "]":
            raise NotationError(
                f"equations: line {number}: column {tokens[2].column}: found {texts[2]!r:.80}, expected a "
                "state's next value with its width, such as d'[input] = ..."
            )
        width, rest = texts[2], tokens[4:]
    else:
        width, rest = "", tokens[1:]
    if len(rest) < 2 or not tokens[0].is_name or rest[0].text != "=":
        raise NotationError(f"equations: line {number}: expected NAME = EXPRESSION")
    return texts[0], width, rest[1:]


def _node_name(target: str) -> str:
    return f"{target[:-1]}_next" if target.endswith("'") else target
