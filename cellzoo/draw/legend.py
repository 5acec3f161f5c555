"""The legend below a picture: it explains the elements that the picture contains, and no others."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement

from cellzoo.draw.figure import HIGHWAY, OPERATION, VALUE, WEIGHT, Figure
from cellzoo.draw.measure import text_width
from cellzoo.draw.palette import OPERATIONS
from cellzoo.draw.shapes import BIAS
from cellzoo.draw.svg_elements import arrow, number, path, text

NOTE = 11.5
ROW = 21.0
_SAMPLE, _BETWEEN = 26.0, 18.0

_WORDS = {
    "linear": "linear (weights)",
    "add": "+ sum",
    "multiply": "× product of elements",
    "subtract": "difference",
    "divide": "quotient",
    "minimum": "minimum",
    "maximum": "maximum",
    "average": "average over all units",
    "blend": "blend: z·a + (1−z)·b",
    "vector": "vector (weights)",
    "scalar": "scalar (weight)",
    "zero": "constant",
    "one": "constant",
    "constant": "constant",
}

_LETTERS = {"letter": "A", "bias": BIAS, "function": "tanh"}


@dataclass(frozen=True)
class _Entry:
    kind: str
    words: str
    op: str = ""


def legend_width(figure: Figure) -> float:
    """The width of the widest entry."""
    return max(_room(entry) for entry in _entries(figure))


def draw_legend(root: Element, figure: Figure, left: float, top: float, width: float) -> float:
    """Draw the legend in rows as wide as there is room, and return how far down it reaches."""
    x, y = left, top
    for entry in _entries(figure):
        room = _room(entry)
        if x > left and x + room > left + width:
            x, y = left, y + ROW
        _draw_sample(root, entry, x, y)
        text(root, x + _SAMPLE + 6, y + 4, entry.words, "note")
        x += room + _BETWEEN
    return y + ROW / 2


def _room(entry: _Entry) -> float:
    return _SAMPLE + 6 + text_width(entry.words, NOTE)


def _entries(figure: Figure) -> list[_Entry]:
    found = {box.op for box in figure.boxes if box.kind == OPERATION}
    words = {_WORDS.get(op, op): op for op in OPERATIONS if op in found}
    entries = [_Entry("op", word, op) for word, op in words.items()]
    kinds = {edge.kind for edge in figure.edges}
    if any(box.is_highway for box in figure.boxes):
        entries.append(_Entry("frame", "highway node: s = z·f(W p) + (1−z)·p with z = sigmoid(V p)"))
    if any(edge.role and edge.kind != VALUE for edge in figure.edges):
        entries.append(_Entry("function", "f, where a node joins several highways"))
    if HIGHWAY in kinds:
        entries.append(_Entry(HIGHWAY, "p: through the weights and past them"))
    if WEIGHT in kinds:
        entries.append(_Entry(WEIGHT, "through a weight matrix; what arrives is summed"))
    if any(box.bias for box in figure.boxes):
        entries.append(_Entry("bias", "a bias is added"))
    if VALUE in kinds:
        entries.append(_Entry(VALUE, "value as it is"))
    entries.append(_Entry("loop", "state of the next step"))
    if any(edge.shared for edge in figure.edges):
        entries.append(_Entry("letter", "same letter, same weights"))
    return entries


def _draw_sample(root: Element, entry: _Entry, x: float, y: float) -> None:
    if entry.kind in ("op", "frame"):
        box = {"x": number(x + 2), "y": number(y - 7), "width": "22", "height": "14", "rx": "4"}
        SubElement(root, "rect", {"class": f"box {entry.op}".strip(), **box})
        if entry.kind == "frame":
            inner = {"x": number(x + 4.5), "y": number(y - 4.5), "width": "17", "height": "9", "rx": "2"}
            SubElement(root, "rect", {"class": "frame linear", **inner})
        return
    if entry.kind in _LETTERS:
        text(root, x + _SAMPLE / 2, y + 4, _LETTERS[entry.kind], "caption")
        return
    is_loop = entry.kind == "loop"
    group = SubElement(root, "g", {"class": "loop from0" if is_loop else f"edge {entry.kind}"})
    size = 7 if is_loop or entry.kind == VALUE else 10
    line = f"M{number(x)} {number(y)}H{number(x + _SAMPLE - size + 1)}"
    path(group, line)
    if entry.kind == HIGHWAY:
        path(group, line, "lane")
    arrow(group, x + _SAMPLE, y, size)
