r"""Hand-written equations, one a line.

    i = sigmoid(linear(x, h))        # a product with a matrix for each argument, and one bias
    f = sigmoid(linear(x, h))
    o = sigmoid(linear(x, h))
    g = tanh(linear(x, h))
    c' = f * c + i * g               # c' is the next value of the state c
    h' = o * tanh(c')                # the output is h', unless a line `output = ...` says otherwise

`linear(x, h; bias=no)` has no bias; `linear(h; width=input)` has the width of x, so that what it gives can
change x itself, and `linear(h; width=32)` has 32 units. Weights are shared by name: `linear[W](x, h)` has the
matrices W_0 and W_1 and the bias W_b, as every other `linear[W]`; `linear(x: A, h; bias=b)` names a single
matrix or the bias, and what has no name is its own. `vector[p]` and `scalar[a]` are weights of shape (H,) and
(1,); `vector[p; width=input]` and `one[width=input]` have another width.
Functions: the primitives of `cellzoo.ops`. Operators: `+`, `-`, `*`, `/`, parentheses, and the constants 0, 1.
States are what has a primed equation; h comes first, the others in the order of their equations. A state
that takes x itself, `x1' = x`, is a delayed input. `d'[input] = ...` says that d has the width of x where that
does not follow from the equations.

`write` says any cell in this notation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn

from cellzoo.cell import HIDDEN_WIDTH, INPUT, INPUT_WIDTH, Cell, Node, State
from cellzoo.errors import NotationError, unknown
from cellzoo.notations.equations_writer import write_lines
from cellzoo.notations.widths import state_widths
from cellzoo.ops import LINEAR, PRIMITIVES, SCALAR, VECTOR

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_TEXT = 20_000
MAX_DEPTH = 60
MAX_CHAIN = 100
_TOKEN = re.compile(r"\s*(?:([A-Za-z_][A-Za-z0-9_]*'?)|([0-9.]+)|([-+*/(),:;=\[\]]))")
_OPERATORS = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}
_CONSTANTS = {"0": "zero", "1": "one"}
_PARAMETERS = (VECTOR, SCALAR)
_WIDTHS = (HIDDEN_WIDTH, INPUT_WIDTH)
_WIDTH_RULE = "hidden, input or a number of units"
_OPTIONS = ("bias", "width")
_FUNCTIONS = sorted(name for name, primitive in PRIMITIVES.items() if primitive.arity != 0)


def parse(source: str, name: str = "") -> Cell:
    """Read equations as a Cell.

    Raises:
        NotationError: The message names the line, the token and what would be right.
    """
    if not isinstance(source, str):
        raise NotationError(f"equations: expected text, found {type(source).__name__}")
    if len(source) > MAX_TEXT:
        raise NotationError(f"equations: {len(source)} characters; at most {MAX_TEXT} are read")
    lines = [
        (number, text)
        for number, line in enumerate(source.split("\n"), start=1)
        if (text := line.split("#", 1)[0].strip())
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


@dataclass(frozen=True)
class _Token:
    text: str
    column: int

    @property
    def is_name(self) -> bool:
        return self.text[0].isalpha() or self.text[0] == "_"


@dataclass(frozen=True)
class _Expression:
    """An operation on values (names) and other expressions.

    `weights` has a name, or None for a weight of its own, for each matrix; `bias` is yes, no or a name.
    """

    op: str
    arguments: tuple[str | _Expression, ...] = ()
    weights: Sequence[str | None] = ()
    bias: str = "no"
    width: str = HIDDEN_WIDTH

    @cached_property
    def height(self) -> int:
        """Operations on the longest way from here to a value; asked for from the leaves up."""
        return 1 + max((part.height for part in self.arguments if isinstance(part, _Expression)), default=0)


class _Builder:
    """Reads the lines in order and collects nodes."""

    def __init__(self, lines: list[tuple[int, str]]) -> None:
        self.lines = [(number, *_split(number, _tokens(number, text))) for number, text in lines]
        self.targets = {target for _, target, _, _ in self.lines}
        primed = [target[:-1] for _, target, _, _ in self.lines if target.endswith("'")]
        self.states = sorted(dict.fromkeys(primed), key=lambda state: state != "h")
        self.values: dict[str, str] = {INPUT: INPUT, **{state: state for state in self.states}}
        self.taken = {INPUT, *self.states, *map(_node_name, self.targets)}
        self.declared: dict[str, str] = {}
        self.nodes: list[Node] = []
        # Weight name -> whether a name in the text gave it.
        self.named: dict[str, bool] = {}

    def build(self, name: str) -> Cell:
        for number, target, width, tokens in self.lines:
            if target in (INPUT, *self.states):
                raise NotationError(
                    f"equations: line {number}: {target!r} is the input or a state; "
                    f"write a state's next value as {target}'"
                )
            if target in self.values:
                raise NotationError(f"equations: line {number}: {target!r} is defined twice")
            if width:
                self.declared[target[:-1]] = width
            expression = _Reader(number, tokens, self.values, self.targets).read()
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

    def _emit(self, number: int, expression: str | _Expression, target: str, *, root: bool) -> str:
        """Append the nodes of an expression: its root is named `target`, the others `target_1`, ..."""
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
        self.nodes.append(Node(name, expression.op, inputs, weights, bias, expression.width))
        return name

    def _weight(self, number: int, given: str | None, own: str) -> str:
        """Return the name of a weight; refuse a given name that is also some node's own."""
        name = given or own
        if self.named.setdefault(name, given is not None) != (given is not None):
            raise NotationError(
                f"equations: line {number}: the weight name {name!r} is also what a linear without names calls "
                "its own weight; choose another name"
            )
        return name


class _Reader:
    """Recursive descent over the tokens of one right-hand side."""

    def __init__(self, number: int, tokens: list[_Token], values: dict[str, str], targets: set[str]) -> None:
        self.number = number
        self.tokens = tokens
        self.values = values
        self.targets = targets
        self.position = 0
        self.depth = 0

    def read(self) -> str | _Expression:
        expression = self._sum()
        if self.position < len(self.tokens):
            self._expected("an operator or the end of the line")
        return expression

    def _fail(self, message: str) -> NoReturn:
        place = f"column {self.tokens[self.position].column}: " if self.position < len(self.tokens) else ""
        raise NotationError(f"equations: line {self.number}: {place}{message}")

    def _expected(self, what: str) -> NoReturn:
        found = repr(self._peek()[:80]) if self._peek() else "the end of the line"
        self._fail(f"found {found}, expected {what}")

    def _peek(self, ahead: int = 0) -> str:
        position = self.position + ahead
        return self.tokens[position].text if position < len(self.tokens) else ""

    def _take(self, text: str) -> None:
        if self._peek() != text:
            self._expected(repr(text))
        self.position += 1

    def _limited(self, expression: _Expression) -> _Expression:
        if expression.height > MAX_CHAIN:
            self._fail(f"more than {MAX_CHAIN} operations on each other; name parts of them on lines before")
        return expression

    def _sum(self) -> str | _Expression:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self._fail(f"nested deeper than {MAX_DEPTH}")
        left = self._product()
        while (operator := self._peek()) in ("+", "-"):
            self.position += 1
            left = self._limited(_Expression(_OPERATORS[operator], (left, self._product())))
        self.depth -= 1
        return left

    def _product(self) -> str | _Expression:
        left = self._atom()
        while (operator := self._peek()) in ("*", "/"):
            self.position += 1
            left = self._limited(_Expression(_OPERATORS[operator], (left, self._atom())))
        return left

    def _atom(self) -> str | _Expression:
        text = self._peek()
        if text == "(":
            self.position += 1
            value = self._sum()
            self._take(")")
            return value
        if text in _CONSTANTS:
            self.position += 1
            return _Expression(_CONSTANTS[text])
        if not text or not self.tokens[self.position].is_name:
            self._expected("a value, a function, 0, 1 or (")
        if self._peek(1) in ("(", "["):
            return self._call(text)
        if text not in self.values:
            if text in self.targets:
                self._fail(
                    f"{text!r} does not exist yet; its equation must come earlier "
                    "(a state is read as h, its next value is written as h')"
                )
            self._fail(str(unknown("value", text, self.values)))
        self.position += 1
        return self.values[text]

    def _call(self, function: str) -> _Expression:
        if function in _PARAMETERS or function in _CONSTANTS.values():
            return self._leaf(function)
        if function not in _FUNCTIONS:
            self._fail(str(unknown("function", function, _FUNCTIONS)))
        start = self.position
        self.position += 1
        if self._peek() == "[" and function != LINEAR:
            self._expected("( since only linear has weights to share")
        group = self._group()
        self._take("(")
        arguments, weights = [self._sum()], [self._weight_name(function, group)]
        while self._peek() == ",":
            self.position += 1
            arguments.append(self._sum())
            weights.append(self._weight_name(function, group))
        options = {"width": HIDDEN_WIDTH}
        if function == LINEAR and self._peek() == ";":
            options |= self._options()
        self._take(")")
        arity = PRIMITIVES[function].arity
        if arity is not None and arity != len(arguments):
            self.position = start
            self._fail(f"{function} takes {arity} value(s), not {len(arguments)}")
        if function != LINEAR:
            return _Expression(function, tuple(arguments))
        bias = options.get("bias", "yes")
        if group is not None:
            weights = [f"{group}_{position}" for position in range(len(arguments))]
            bias = f"{group}_b" if bias == "yes" else bias
        return _Expression(function, tuple(arguments), weights, bias, options["width"])

    def _leaf(self, function: str) -> _Expression:
        """Read `vector[p]`, `vector[p; width=input]`, or `one[width=input]`."""
        self.position += 1
        self._take("[")
        weights = (self._name("a name for the weight"),) if function in _PARAMETERS else ()
        width = HIDDEN_WIDTH
        if not weights or self._peek() == ";":
            self.position += bool(weights)
            self._take("width")
            self._take("=")
            width = self._width()
        self._take("]")
        return _Expression(function, (), weights, width=width)

    def _group(self) -> str | None:
        if self._peek() != "[":
            return None
        self.position += 1
        group = self._name("a name for the shared weights")
        self._take("]")
        return group

    def _weight_name(self, function: str, group: str | None) -> str | None:
        """Read `: W` after an argument of linear."""
        if self._peek() != ":":
            return None
        if function != LINEAR or group is not None:
            self._expected(
                "',' or ')' since only linear has weights to name"
                if function != LINEAR
                else f"',', ';' or ')' since [{group}] names all the weights"
            )
        self.position += 1
        return self._name("a name for the weight")

    def _name(self, what: str) -> str:
        name = self._peek()
        if not name.isidentifier():
            self._expected(what)
        self.position += 1
        return name

    def _options(self) -> dict[str, str]:
        """Read `; bias=no, width=input`."""
        found: dict[str, str] = {}
        while not found or self._peek() == ",":
            self.position += 1
            option = self._peek()
            if option not in _OPTIONS or option in found:
                self._expected(" or ".join(name for name in _OPTIONS if name not in found) or "')'")
            self.position += 1
            self._take("=")
            is_width = option == "width"
            found[option] = self._width() if is_width else self._name("yes, no or a name for the bias")
        return found

    def _width(self) -> str:
        width = self._peek()
        if width not in _WIDTHS and not width.isdecimal():
            self._expected(_WIDTH_RULE)
        self.position += 1
        return width


def _split(number: int, tokens: list[_Token]) -> tuple[str, str, list[_Token]]:
    """Split a line into target, declared width (empty for none) and the tokens of the right-hand side."""
    texts = [token.text for token in tokens]
    if texts[1:2] == ["["] and len(tokens) > 5:
        if not texts[0].endswith("'") or texts[2] not in _WIDTHS or texts[3] != "]":
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


def _tokens(number: int, text: str) -> list[_Token]:
    tokens, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            column = position + len(text[position:]) - len(text[position:].lstrip()) + 1
            raise NotationError(
                f"equations: line {number}: column {column}: {text[column - 1]!r} is no part of an equation"
            )
        group = match.lastindex or 0
        tokens.append(_Token(match.group(group), match.start(group) + 1))
        position = match.end()
    return tokens


def _node_name(target: str) -> str:
    return f"{target[:-1]}_next" if target.endswith("'") else target
