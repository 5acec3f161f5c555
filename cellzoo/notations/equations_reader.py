"""Lexer and parser of the right-hand sides of equations: text -> tokens -> expressions."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from cellzoo.cells.graph import HIDDEN_WIDTH, INPUT_WIDTH
from cellzoo.cells.ops import CONSTANT, LINEAR, PRIMITIVES, SCALAR, VECTOR
from cellzoo.cells.validation import LEAST_CONSTANT, MAX_HEADS, MOST_CONSTANT
from cellzoo.errors import NotationError, unknown
from cellzoo.system.lazy import lazy_property

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_DEPTH = 60
MAX_CHAIN = 100
WIDTHS = (HIDDEN_WIDTH, INPUT_WIDTH)
_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_TOKEN = re.compile(rf"\s*(?:([A-Za-z_][A-Za-z0-9_]*'?)|({_NUMBER})|([-+*/(),:;=\[\]]))")
_OPERATORS = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}
_CONSTANTS = ("zero", "one")
_PARAMETERS = (VECTOR, SCALAR)
_WIDTH_RULE = "hidden, input or a number of units"
_OPTIONS = ("bias", "width", "heads")
_FUNCTIONS = sorted(name for name, primitive in PRIMITIVES.items() if primitive.arity != 0)


@dataclass(frozen=True)
class Token:
    """A name, number or sign, with the column of its line at which it begins."""

    text: str
    column: int

    @property
    def is_name(self) -> bool:
        """Whether it is a name, primed or not."""
        return self.text[0].isalpha() or self.text[0] == "_"

    @property
    def is_number(self) -> bool:
        """Whether it is a number without a sign."""
        return self.text[0].isdigit() or self.text[0] == "."


@dataclass(frozen=True)
class Expression:
    """An operation on values (names) and other expressions.

    `weights` has for each matrix its name, or None if it is not shared; `bias` is yes, no or a name.
    """

    op: str
    arguments: tuple[str | Expression, ...] = ()
    weights: Sequence[str | None] = ()
    bias: str = "no"
    width: str = HIDDEN_WIDTH
    heads: int = 1
    value: float | None = None

    @lazy_property
    def height(self) -> int:
        """The height of the expression tree. It is read bottom-up, so the recursion is never deep."""
        return 1 + max((part.height for part in self.arguments if isinstance(part, Expression)), default=0)


def read_tokens(number: int, text: str) -> list[Token]:
    """Split a line into tokens.

    Raises:
        NotationError: A character is not part of an equation; the message names the line and the column.
    """
    tokens, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            column = position + len(text[position:]) - len(text[position:].lstrip()) + 1
            raise NotationError(
                f"equations: line {number}: column {column}: {text[column - 1]!r} is not part of an equation"
            )
        group = match.lastindex or 0
        tokens.append(Token(match.group(group), match.start(group) + 1))
        position = match.end()
    return tokens


def read_expression(
    number: int, tokens: list[Token], values: dict[str, str], targets: set[str]
) -> str | Expression:
    """Read a right-hand side.

    Args:
        number: Of the line.
        tokens: After the equals sign.
        values: Name in the text -> name of the value in the cell, for the values that are defined so far.
        targets: All names that the text defines, here or later.

    Returns:
        An expression, or a value's name where there is no operation.

    Raises:
        NotationError: The message names the line, the column and what would be right.
    """
    return _Reader(number, tokens, values, targets).read()


class _Reader:
    """Recursive descent over the tokens of one right-hand side."""

    def __init__(self, number: int, tokens: list[Token], values: dict[str, str], targets: set[str]) -> None:
        self.number = number
        self.tokens = tokens
        self.values = values
        self.targets = targets
        self.position = 0
        self.depth = 0

    def read(self) -> str | Expression:
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

    def _limited(self, expression: Expression) -> Expression:
        if expression.height > MAX_CHAIN:
            self._fail(f"more than {MAX_CHAIN} nested operations; define parts of them on earlier lines")
        return expression

    def _sum(self) -> str | Expression:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self._fail(f"nested deeper than {MAX_DEPTH}")
        left = self._product()
        while (operator := self._peek()) in ("+", "-"):
            self.position += 1
            left = self._limited(Expression(_OPERATORS[operator], (left, self._product())))
        self.depth -= 1
        return left

    def _product(self) -> str | Expression:
        left = self._atom()
        while (operator := self._peek()) in ("*", "/"):
            self.position += 1
            left = self._limited(Expression(_OPERATORS[operator], (left, self._atom())))
        return left

    def _atom(self) -> str | Expression:
        text = self._peek()
        if text == "(":
            self.position += 1
            value = self._sum()
            self._take(")")
            return value
        if text == "-":
            self.position += 1
            if self._peek() == "-":
                self._expected("a value, a function, a number or ( after the sign")
            if self._is_number():
                return self._number(-1.0)
            return self._limited(Expression("subtract", (Expression("zero"), self._atom())))
        if self._is_number():
            return self._number(1.0)
        if not text or not self.tokens[self.position].is_name:
            self._expected("a value, a function, a number or (")
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

    def _call(self, function: str) -> Expression:
        if function in _PARAMETERS or function in _CONSTANTS:
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
            return Expression(function, tuple(arguments))
        bias = options.get("bias", "yes")
        if group is not None:
            weights = [f"{group}_{position}" for position in range(len(arguments))]
            bias = f"{group}_b" if bias == "yes" else bias
        heads = int(options.get("heads", "1"))
        return Expression(function, tuple(arguments), weights, bias, options["width"], heads)

    def _is_number(self) -> bool:
        return self.position < len(self.tokens) and self.tokens[self.position].is_number

    def _number(self, sign: float) -> Expression:
        """Read `0.5`, or `0.5[width=input]`."""
        value = sign * float(self._peek())
        if not math.isfinite(value) or not (value == 0.0 or LEAST_CONSTANT <= abs(value) <= MOST_CONSTANT):
            self._fail(
                f"{self._peek()[:80]} is out of range; expected 0, or a number from {LEAST_CONSTANT:g} to "
                f"{MOST_CONSTANT:g}"
            )
        self.position += 1
        width = HIDDEN_WIDTH
        if self._peek() == "[":
            self.position += 1
            self._take("width")
            self._take("=")
            width = self._width()
            self._take("]")
        if value in (0.0, 1.0):
            return Expression("one" if value else "zero", width=width)
        return Expression(CONSTANT, width=width, value=value)

    def _leaf(self, function: str) -> Expression:
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
        return Expression(function, (), weights, width=width)

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
        """Read `; bias=no, width=input, heads=4`."""
        found: dict[str, str] = {}
        while not found or self._peek() == ",":
            self.position += 1
            option = self._peek()
            if option not in _OPTIONS or option in found:
                self._expected(" or ".join(name for name in _OPTIONS if name not in found) or "')'")
            self.position += 1
            self._take("=")
            if option == "width":
                found[option] = self._width()
            elif option == "heads":
                found[option] = self._heads()
            else:
                found[option] = self._name("yes, no or a name for the bias")
        return found

    def _heads(self) -> str:
        heads = self._peek()
        if not heads.isdecimal() or not 1 <= int(heads[:9]) <= MAX_HEADS:
            self._expected(f"a number of heads, 1 to {MAX_HEADS}")
        self.position += 1
        return heads

    def _width(self) -> str:
        width = self._peek()
        if width not in WIDTHS and not width.isdecimal():
            self._expected(_WIDTH_RULE)
        self.position += 1
        return width
