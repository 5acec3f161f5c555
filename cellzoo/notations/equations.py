r"""Hand-written equations, one a line.

    i = sigmoid(linear(x, h))        # a product with a matrix for each argument, and one bias
    f = sigmoid(linear(x, h))
    o = sigmoid(linear(x, h))
    g = tanh(linear(x, h))
    c' = f * c + i * g               # c' is the next value of the state c
    h' = o * tanh(c')                # the output is h', unless a line `output = ...` says otherwise

`linear(x, h; bias=no)` has no bias; `linear[W](x)` shares its weights with every other `linear[W]`.
`linear(h; width=input)` has the width of x, so that what it gives can change x itself.
`vector[p]` and `scalar[a]` are weights of shape (H,) and (1,), shared by name.
Functions: the primitives of `cellzoo.ops`. Operators: `+`, `-`, `*`, `/`, parentheses, and the constants 0, 1.
States are what has a primed equation; h comes first, the others in the order of their equations. A state
that takes x itself, `x1' = x`, is a delayed input.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from cellzoo.cell import HIDDEN_WIDTH, INPUT, INPUT_WIDTH, Cell, Node, State
from cellzoo.errors import NotationError, unknown
from cellzoo.ops import LINEAR, PRIMITIVES, SCALAR, VECTOR

MAX_TEXT = 20_000
MAX_DEPTH = 60
_TOKEN = re.compile(r"\s*(?:([A-Za-z_][A-Za-z0-9_]*'?)|([0-9.]+)|([-+*/(),;=\[\]]))")
_OPERATORS = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}
_CONSTANTS = {"0": "zero", "1": "one"}
_PARAMETERS = (VECTOR, SCALAR)
_OPTIONS = {"bias": ("yes", "no"), "width": (HIDDEN_WIDTH, INPUT_WIDTH)}
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


@dataclass(frozen=True)
class _Token:
    text: str
    column: int

    @property
    def is_name(self) -> bool:
        return self.text[0].isalpha() or self.text[0] == "_"


@dataclass(frozen=True)
class _Expression:
    """An operation on values (names) and other expressions."""

    op: str
    arguments: tuple[str | _Expression, ...] = ()
    group: str | None = None
    bias: bool = False
    width: str = HIDDEN_WIDTH


class _Builder:
    """Reads the lines in order and collects nodes."""

    def __init__(self, lines: list[tuple[int, str]]) -> None:
        self.lines = [(number, _tokens(number, text)) for number, text in lines]
        targets = [_target(number, tokens) for number, tokens in self.lines]
        primed = [target[:-1] for target in targets if target.endswith("'")]
        self.states = sorted(dict.fromkeys(primed), key=lambda state: state != "h")
        self.values: dict[str, str] = {INPUT: INPUT, **{state: state for state in self.states}}
        self.targets = set(targets)
        self.taken = {INPUT, *self.states, *(_node_name(target) for target in targets)}
        self.nodes: list[Node] = []

    def build(self, name: str) -> Cell:
        for number, tokens in self.lines:
            target = tokens[0].text
            if target in (INPUT, *self.states):
                raise NotationError(
                    f"equations: line {number}: {target!r} is the input or a state; "
                    f"write a state's next value as {target}'"
                )
            if target in self.values:
                raise NotationError(f"equations: line {number}: {target!r} is defined twice")
            expression = _Reader(number, tokens[2:], self.values, self.targets).read()
            self.values[target] = self._emit(expression, _node_name(target), root=True)
        if not self.states:
            raise NotationError("equations: no state; one line must define a next value, such as h' = ...")
        output = self.values.get("output", self.values[f"{self.states[0]}'"])
        after = {state: self.values[f"{state}'"] for state in self.states}
        widths = self._state_widths(after)
        states = tuple(State(state, after[state], widths[state]) for state in self.states)
        return Cell(states, tuple(self.nodes), output, name=name)

    def _state_widths(self, after: dict[str, str]) -> dict[str, str]:
        """A state has the input's width if what it takes has, over any number of delays."""
        widths = dict.fromkeys(self.states, HIDDEN_WIDTH)
        for _ in self.states:
            values = {INPUT: INPUT_WIDTH, **widths}
            for node in self.nodes:
                elementwise = node.op != LINEAR and node.inputs
                values[node.name] = values[node.inputs[0]] if elementwise else node.width
            widths = {state: values[source] for state, source in after.items()}
        return widths

    def _emit(self, expression: str | _Expression, target: str, *, root: bool) -> str:
        """Append the nodes of an expression: its root is named `target`, the others `target_1`, ..."""
        if isinstance(expression, str):
            return expression
        inputs = tuple(self._emit(argument, target, root=False) for argument in expression.arguments)
        name, suffix = target, 0
        while name in self.taken and not root:
            suffix += 1
            name = f"{target}_{suffix}"
        self.taken.add(name)
        group = expression.group or name
        weights: tuple[str, ...] = ()
        if expression.op == LINEAR:
            weights = tuple(f"{group}_{position}" for position in range(len(inputs)))
        elif expression.op in _PARAMETERS:
            weights = (group,)
        bias = f"{group}_b" if expression.bias else None
        self.nodes.append(Node(name, expression.op, inputs, weights, bias, expression.width))
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

    def _sum(self) -> str | _Expression:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self._fail(f"nested deeper than {MAX_DEPTH}")
        left = self._product()
        while (operator := self._peek()) in ("+", "-"):
            self.position += 1
            left = _Expression(_OPERATORS[operator], (left, self._product()))
        self.depth -= 1
        return left

    def _product(self) -> str | _Expression:
        left = self._atom()
        while (operator := self._peek()) in ("*", "/"):
            self.position += 1
            left = _Expression(_OPERATORS[operator], (left, self._atom()))
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
        if function in _PARAMETERS:
            self.position += 1
            group = self._group()
            if group is None:
                self._expected("[ and a name for the weight")
            return _Expression(function, (), group)
        if function not in _FUNCTIONS:
            self._fail(str(unknown("function", function, _FUNCTIONS)))
        start = self.position
        self.position += 1
        if self._peek() == "[" and function != LINEAR:
            self._expected("( since only linear has weights to share")
        group = self._group()
        self._take("(")
        arguments = [self._sum()]
        while self._peek() == ",":
            self.position += 1
            arguments.append(self._sum())
        options = {"bias": "yes" if function == LINEAR else "no", "width": HIDDEN_WIDTH}
        if function == LINEAR and self._peek() == ";":
            options |= self._options()
        self._take(")")
        arity = PRIMITIVES[function].arity
        if arity is not None and arity != len(arguments):
            self.position = start
            self._fail(f"{function} takes {arity} value(s), not {len(arguments)}")
        return _Expression(function, tuple(arguments), group, options["bias"] == "yes", options["width"])

    def _group(self) -> str | None:
        if self._peek() != "[":
            return None
        self.position += 1
        group = self._peek()
        if not group.isidentifier():
            self._expected("a name for the shared weights")
        self.position += 1
        self._take("]")
        return group

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
            if self._peek() not in _OPTIONS[option]:
                self._expected(" or ".join(_OPTIONS[option]))
            found[option] = self._peek()
            self.position += 1
        return found


def _target(number: int, tokens: list[_Token]) -> str:
    if len(tokens) < 3 or not tokens[0].is_name or tokens[1].text != "=":
        raise NotationError(f"equations: line {number}: expected NAME = EXPRESSION")
    return tokens[0].text


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
