"""Initialisation of a cell's weights as data: selectors and rules, of which later ones override earlier ones.

    init = { all = "uniform(0.04)" }                      # a DARTS cell
    init = { f_1_b = 1 }                                  # an LSTM's forget gate
    init = { "b_*" = 0, matrices = "glorot_uniform" }     # a shell pattern on names; a kind of weight

A selector is the name of a weight, a shell pattern on names, or a kind: all, matrices, biases, vectors,
scalars.
A rule is a number, or one of these, with the rows and columns of the weight as it is stored:

    uniform(a)       U(-a, a);  uniform(a, b): U(a, b)
    normal(s)        N(0, s^2)
    glorot_uniform   U(-a, a), a = sqrt(6 / (columns + rows));  Glorot & Bengio 2010, equation 16;
                     glorot_uniform(n): with n times the rows, for code that stores n gates in one matrix
    lecun_normal     N(0, 1 / columns)
    he_uniform(s)    U(-a, a), a = sqrt(6 / ((1 + s^2) columns)), s the slope of a leaky relu; He et al. 2015
    orthogonal       Saxe et al. 2014
    chrono(T)        log U(1, T - 1), for a bias;  Tallec & Ollivier 2018, equation 16;
                     chrono(-T): its negative, for a gate that forgets where it is 1
    power(a, b, p)   a + (b - a) (k / (n - 1))^p for unit k of the n units of each head;  Beck et al. 2024
    ring(a, b)       the v for which exp(-softplus(v)) is a radius between a and b, uniform in area;
                     Orvieto et al. 2023, lemma 3.2, in the form of De et al. 2024

Other weights are initialised uniformly in ±1 / sqrt(H), as in torch.nn.LSTM.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from cellzoo.cells.ops import LINEAR, SCALAR
from cellzoo.errors import CellError, unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cellzoo.cells.graph import CellGraph

MATRIX, BIAS = "matrix", "bias"
CONSTANT = "constant"
_KINDS = {"matrices": MATRIX, "biases": BIAS, "vectors": "vector", "scalars": SCALAR}
_OF_MATRICES = frozenset({"glorot_uniform", "lecun_normal", "he_uniform", "orthogonal"})
# Rule -> least and greatest number of arguments.
_RULES = {
    "uniform": (1, 2),
    "normal": (1, 1),
    "glorot_uniform": (0, 1),
    "lecun_normal": (0, 0),
    "he_uniform": (1, 1),
    "orthogonal": (0, 0),
    "chrono": (1, 1),
    "power": (3, 3),
    "ring": (2, 2),
}
_RULE = re.compile(r"([a-z_]+)(?:\(([^()]*)\))?")
MAX_RULES = 10_000
_LARGEST = 1e30


@dataclass(frozen=True)
class Rule:
    """The initialisation of a weight.

    Attributes:
        name: The name of the rule; `constant` for a number.
        numbers: Its arguments.
        text: The rule as it was given.
        heads: Blocks of the weight; for biases and vectors, of the cell.
    """

    name: str
    numbers: tuple[float, ...]
    text: float | str
    heads: int = 1


def rules(graph: CellGraph) -> dict[str, Rule]:
    """The rule of each weight that a selector matches.

    Raises:
        CellError: A selector names no weight, or a rule is not one, or does not fit its weight.
    """
    if not graph.init:
        return {}
    label = f"cell {graph.name!r:.80}: init" if graph.name else "cell: init"
    if len(graph.init) > MAX_RULES:
        raise CellError(f"{label}: {len(graph.init)} rules; at most {MAX_RULES} are read")
    kinds = _weight_kinds(graph)
    found: dict[str, Rule] = {}
    for selector, text in graph.init:
        where = f"{label}: {selector!r:.80}"
        rule = _read(where, text)
        chosen = list(_chosen(selector, {name: kind for name, (kind, _) in kinds.items()}))
        if not chosen:
            raise CellError(f"{where} names no weight; there are {', '.join(kinds)[:400] or 'none'}")
        for name in chosen:
            kind, heads = kinds[name]
            if rule.name in _OF_MATRICES and kind != MATRIX:
                raise CellError(f"{where}: {rule.name} is for matrices, and {name!r} is a {kind}")
            found[name] = replace(rule, heads=heads)
    return found


def _weight_kinds(graph: CellGraph) -> dict[str, tuple[str, int]]:
    """Name -> kind and number of heads; biases and vectors have the least common multiple of all heads."""
    most = math.lcm(*(node.heads for node in graph.live_nodes))
    kinds: dict[str, tuple[str, int]] = {}
    for node in graph.live_nodes:
        for name in node.weights:
            kinds[name] = (MATRIX, node.heads) if node.op == LINEAR else (node.op, most)
        if node.bias is not None:
            kinds[node.bias] = (BIAS, most)
    return kinds


def _chosen(selector: str, kinds: dict[str, str]) -> Iterator[str]:
    for name, kind in kinds.items():
        if selector in kinds:
            fits = name == selector
        elif selector in _KINDS:
            fits = kind == _KINDS[selector]
        else:
            fits = selector == "all" or fnmatchcase(name, selector)
        if fits:
            yield name


def _read(where: str, text: float | str) -> Rule:
    if isinstance(text, bool) or not isinstance(text, int | float | str):
        raise CellError(f"{where} is {text!r:.80}; expected a number or a rule such as uniform(0.04)")
    if not isinstance(text, str):
        return Rule(CONSTANT, _numbers(where, [text]), text)
    match = _RULE.fullmatch(text.replace(" ", ""))
    if match is None:
        raise CellError(f"{where} is {text!r:.80}; expected a number or a rule such as uniform(0.04)")
    name, inside = match.groups()
    if name not in _RULES:
        raise CellError(f"{where}: {unknown('rule', name[:80], _RULES)}")
    numbers = _numbers(where, inside.split(",") if inside else [])
    least, most = _RULES[name]
    if not least <= len(numbers) <= most:
        counts = str(least) if least == most else f"{least} or {most}"
        raise CellError(f"{where}: {name} takes {counts} number(s), not {len(numbers)}")
    _check_range(where, name, numbers)
    return Rule(name, numbers, text)


def _numbers(where: str, parts: list[str] | list[float]) -> tuple[float, ...]:
    numbers = []
    for part in parts:
        try:
            number = float(part)
        except (ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number) or abs(number) > _LARGEST:
            raise CellError(f"{where}: {part!r:.80} is not a finite number of at most {_LARGEST:g}")
        numbers.append(number)
    return tuple(numbers)


def _check_range(where: str, name: str, numbers: tuple[float, ...]) -> None:
    low, high = (numbers[0], numbers[-1]) if numbers else (0.0, 0.0)
    wrong = {
        "uniform": (len(numbers) == 1 and low < 0) or (len(numbers) == 2 and low > high),
        "normal": low < 0,
        "glorot_uniform": bool(numbers) and low < 1,
        "chrono": abs(low) <= 2,
        "power": high <= 0,
        "ring": not 0 < low < high < 1,
    }
    if wrong.get(name, False):
        right = {
            "uniform": "a size, or a range whose second number is the larger one",
            "normal": "a standard deviation of at least 0",
            "glorot_uniform": "how many gates are in one matrix, at least 1",
            "chrono": "a length above 2, or its negative",
            "power": "a third number above 0",
            "ring": "two radii between 0 and 1, the larger one second",
        }
        raise CellError(f"{where}: {name} takes {right[name]}, not {', '.join(f'{n:g}' for n in numbers)}")
