"""Sizes of boxes, and the texts that fit into them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.draw.figure import OPERATION
from cellzoo.draw.layout import PORT_ROOM
from cellzoo.draw.measure import text_width
from cellzoo.system.text import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellzoo.draw.figure import Box, Edge

LABEL, CAPTION = 13, 10
LABEL_LIMIT, CAPTION_LIMIT = 16, 24
PADDING = 10
FRAME = 3
CIRCLE = 28.0
BIAS = "+b"
_SIGNS = ("add", "multiply")


@dataclass(frozen=True)
class BoxShape:
    """The look of a box.

    Attributes:
        size: Width and height.
        form: `circle`, `pill` or `rectangle`.
        label: Shortened to fit.
        caption: Shortened to fit.
        marks: Width reserved on the left for the marks at the ends of edges.
    """

    size: tuple[float, float]
    form: str
    label: str
    caption: str
    marks: float


def shape_of(box: Box, entering: Sequence[Edge]) -> BoxShape:
    """Choose the look of a box with the edges that enter it."""
    marks = max((text_width(mark(edge), CAPTION) for edge in entering), default=0.0)
    marks += 4 if marks else 0
    label = shortened(box.label, LABEL_LIMIT)
    caption = shortened(box.caption, CAPTION_LIMIT)
    ports = len(entering) * PORT_ROOM + 8
    if box.op in _SIGNS and not marks:
        if ports <= CIRCLE + 10:
            return BoxShape((CIRCLE, CIRCLE), "circle", label, "", 0.0)
        return BoxShape((CIRCLE, ports), "pill", label, "", 0.0)
    small = text_width(f"{caption} {BIAS}" if box.bias else caption, CAPTION)
    width = max(text_width(label, LABEL), small) + 2 * PADDING + marks
    width += 2 * FRAME if box.is_highway else 0
    height = max(40.0 if caption or box.bias else 28.0, ports)
    form = "rectangle" if box.kind == OPERATION else "pill"
    return BoxShape((float(round(max(width, 44))), float(round(height))), form, label, caption, marks)


def mark(edge: Edge) -> str:
    """The text at the end of an edge: its role, and the letter of its shared weights."""
    return " ".join(part for part in (edge.role, edge.shared) if part)
