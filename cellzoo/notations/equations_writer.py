"""Writes any cell as lines of equations.

A node that is used once is inlined if the result stays short and the name carries no information: the node is
a product or a constant, or has a generated name (that of the node which uses it, with a number). Every other
node has a line of its own. Names are kept as far as the notation allows them.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.cells.graph import HIDDEN_WIDTH, INPUT, Node
from cellzoo.cells.ops import CONSTANT, LINEAR, SCALAR, VECTOR
from cellzoo.notations.widths import state_widths

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cellzoo.cells.cell import Cell

MAX_INLINE = 48
MAX_NAME = 50
_SUM, _PRODUCT, _ATOM = 0, 1, 2
# Operation -> symbol, its precedence, least precedence of its right operand.
_INFIX = {
    "add": ("+", _SUM, _PRODUCT),
    "subtract": ("-", _SUM, _PRODUCT),
    "multiply": ("*", _PRODUCT, _ATOM),
    "divide": ("/", _PRODUCT, _ATOM),
}
_CONSTANTS = ("zero", "one", CONSTANT)
_OUTPUT = "output"


def write_lines(cell: Cell) -> list[str]:
    """Write the cell's live nodes as equations, one a line."""
    return _Writer(cell).write()


@dataclass(frozen=True)
class _Text:
    """A part of an equation and its precedence."""

    text: str
    level: int = _ATOM

    def at(self, level: int) -> str:
        return self.text if self.level >= level else f"({self.text})"


class _Writer:
    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.nodes = cell.live_nodes
        self.uses = Counter(source for node in self.nodes for source in node.inputs)
        self.consumer = {source: node for node in self.nodes for source in node.inputs}
        self.marked = {cell.output, *(state.next for state in cell.states)}
        self.names = _value_names(cell)
        self.after = {state.name: f"{self.names[state.name]}'" for state in cell.states}
        primed = {f"{self.names[state.name]}_next" for state in cell.states}
        self.weights = _WeightNames(self.nodes, {*self.names.values(), *primed})
        self.texts = {name: _Text(self.names[name]) for name in (INPUT, *(state.name for state in cell.states))}
        # The reader takes h first and the others in the order of their equations.
        self.free = cell.states[0].name if self.names[cell.states[0].name] == "h" else None
        self.pending = [state.name for state in cell.states if state.name != self.free]
        self.next_of = {state.name: state.next for state in cell.states}
        self.declared = self._declared()
        self.lines: list[str] = []

    def write(self) -> list[str]:
        for node in self.nodes:
            text = self._expression(node)
            if self._may_be_inline(node, text):
                self.texts[node.name] = text
            else:
                target = self._target(node)
                self.lines.append(f"{self._left(node, target)} = {text.text}")
                self.texts[node.name] = _Text(target)
        if self.free is not None and self.texts[self.next_of[self.free]].text != self.after[self.free]:
            self._alias(self.free)
        self._flush(len(self.pending))
        first = self.next_of[self.cell.states[0].name]
        if self.cell.output != first and self.texts[self.cell.output].text != _OUTPUT:
            self.lines.append(f"{_OUTPUT} = {self.texts[self.cell.output].text}")
        return self.lines

    def _declared(self) -> dict[str, str]:
        """States whose width does not follow from the equations."""
        widths = {state.name: state.width for state in self.cell.states}
        inferred = state_widths(self.nodes, self.next_of, {})
        return {name: width for name, width in widths.items() if inferred[name] != width}

    def _may_be_inline(self, node: Node, text: _Text) -> bool:
        if self.uses[node.name] != 1 or node.name in self.marked or len(text.text) > MAX_INLINE:
            return False
        if node.op in (LINEAR, VECTOR, SCALAR) or node.op in _CONSTANTS:
            return True
        stem, consumer = _stem(node.name), self.consumer[node.name].name
        return stem != node.name and stem in (consumer, _stem(consumer))

    def _target(self, node: Node) -> str:
        """Choose the left-hand side of the node's line: a state's next value if the order allows, or a name."""
        takers = [state.name for state in self.cell.states if state.next == node.name]
        if self.free in takers:
            return self.after[takers[0]]
        if takers:
            position = self.pending.index(takers[0])
            known = {*self.texts, node.name}
            if all(self.next_of[state] in known for state in self.pending[:position]):
                self._flush(position)
                return self.after[self.pending.pop(0)]
        return self.names[node.name]

    def _left(self, node: Node, target: str) -> str:
        state = next((name for name, after in self.after.items() if after == target), None)
        return f"{target}[{self.declared[state]}]" if state in self.declared else target

    def _flush(self, count: int) -> None:
        for _ in range(count):
            self._alias(self.pending.pop(0))

    def _alias(self, state: str) -> None:
        width = f"[{self.declared[state]}]" if state in self.declared else ""
        self.lines.append(f"{self.after[state]}{width} = {self.texts[self.next_of[state]].text}")

    def _expression(self, node: Node) -> _Text:
        inputs = [self.texts[source] for source in node.inputs]
        if node.op in _INFIX and len(inputs) == 2:
            symbol, level, right = _INFIX[node.op]
            return _Text(f"{inputs[0].at(level)} {symbol} {inputs[1].at(right)}", level)
        width = "" if node.width == HIDDEN_WIDTH else f"width={node.width}"
        if node.op in _CONSTANTS:
            return _Text(f"{node.literal}{f'[{width}]' if width else ''}")
        if node.op in (VECTOR, SCALAR):
            return _Text(f"{node.op}[{self.weights.name(node.weights[0])}{width and f'; {width}'}]")
        if node.op == LINEAR:
            return _Text(self._linear(node, inputs))
        return _Text(f"{node.op}({', '.join(text.text for text in inputs)})")

    def _linear(self, node: Node, inputs: list[_Text]) -> str:
        group = self.weights.group(node)
        arguments, options = [], []
        for weight, text in zip(node.weights, inputs, strict=True):
            shared = group is None and self.weights.is_shared(weight)
            arguments.append(f"{text.text}: {self.weights.name(weight)}" if shared else text.text)
        if node.bias is None:
            options.append("bias=no")
        elif group is None and self.weights.is_shared(node.bias):
            options.append(f"bias={self.weights.name(node.bias)}")
        if node.width != HIDDEN_WIDTH:
            options.append(f"width={node.width}")
        if node.heads != 1:
            options.append(f"heads={node.heads}")
        behind = f"; {', '.join(options)}" if options else ""
        return f"{LINEAR}{f'[{group}]' if group else ''}({', '.join(arguments)}{behind})"


def _value_names(cell: Cell) -> dict[str, str]:
    """Choose a name for the input, each state and each live node; all differ."""
    names = {INPUT: INPUT}
    taken = {INPUT, _OUTPUT}
    for index, state in enumerate(cell.states):
        # The reader puts a state called h first, so only the first state may have this name.
        fits = state.name != _OUTPUT and (state.name != "h" or index == 0) and len(state.name) <= MAX_NAME
        fits = fits and not state.name.endswith("_next")
        names[state.name] = _fresh(state.name if fits else f"s{index}", taken)
    taken |= {f"{names[state.name]}_next" for state in cell.states}
    takers = {state.next for state in cell.states}
    for node in cell.live_nodes:
        if node.name == cell.output and node.name not in takers:
            names[node.name] = _OUTPUT
        else:
            names[node.name] = _fresh(node.name if len(node.name) <= MAX_NAME else "n", taken)
    return names


class _WeightNames:
    """Names for the weights that must be named: vectors, scalars, and shared weights."""

    def __init__(self, nodes: Iterable[Node], values: set[str]) -> None:
        nodes = tuple(nodes)
        self.values = values
        self.uses = Counter(weight for node in nodes for weight in _weights(node))
        self.groups = self._find_groups(nodes)
        self.names: dict[str, str] = {}
        self.taken = {f"{group}_{part}" for group in self.groups.values() for part in (*range(99), "b")}
        for node in nodes:
            for weight in _weights(node):
                must = self.is_shared(weight) or node.op in (VECTOR, SCALAR)
                if must and self.group(node) is None and weight not in self.names:
                    self.names[weight] = self._choose(weight)

    def is_shared(self, weight: str) -> bool:
        return self.uses[weight] > 1

    def name(self, weight: str) -> str:
        return self.names[weight]

    def group(self, node: Node) -> str | None:
        """Return NAME of `linear[NAME]` for a node that shares all of its weights with other nodes."""
        return self.groups.get(_weights(node)) if node.op == LINEAR else None

    def _find_groups(self, nodes: tuple[Node, ...]) -> dict[tuple[str, ...], str]:
        sharers = Counter(_weights(node) for node in nodes if node.op == LINEAR)
        groups: dict[tuple[str, ...], str] = {}
        taken: set[str] = set()
        for node in nodes:
            key = _weights(node)
            alone = sharers[key] > 1 and all(self.uses[weight] == sharers[key] for weight in key)
            if alone and key not in groups and len(key) <= 99:
                stem = _stem(key[0])
                fits = _fits(stem) and stem not in self.values and _stem(stem) not in self.values
                groups[key] = _fresh(stem if fits else "W", taken | self.values)
                taken.add(groups[key])
        return groups

    def _choose(self, weight: str) -> str:
        """Keep the name unless the reader could generate it for an unnamed weight."""
        stem = _stem(weight)
        mistaken = stem != weight and (stem in self.values or _stem(stem) in self.values)
        return _fresh(weight if _fits(weight) and not mistaken else "W", self.taken)


def _weights(node: Node) -> tuple[str, ...]:
    return (*node.weights, *(() if node.bias is None else (node.bias,)))


def _stem(name: str) -> str:
    """Return the name without the suffix that the reader appends to generated names."""
    return re.sub(r"_(\d+|b)$", "", name)


def _fits(weight: str) -> bool:
    return (
        re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", weight) is not None
        and len(weight) <= MAX_NAME
        and (weight not in ("yes", "no"))
    )


def _fresh(wanted: str, taken: set[str]) -> str:
    """Return `wanted`, with a number appended if it is taken, and mark it as taken."""
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}{number}"
    taken.add(name)
    return name
