"""The recurrence of a state: a dashed line around the picture, from its next value back to the state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement

from cellzoo.draw.palette import STATES
from cellzoo.draw.svg_elements import arrow, number, path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellzoo.draw.figure import Box
    from cellzoo.draw.layout import Placement

LANE = 13.0
_FIRST, _ARROW, _CORNER = 6.0, 7.0, 9.0


@dataclass(frozen=True)
class StateLoop:
    """The loop of one state.

    Attributes:
        state: The state's box.
        start: The point where it leaves the box of the next value.
        end: The point where it enters the state's box.
        is_above: Whether it runs above the picture; else below.
        lane: Its distance from the picture: 1 for the innermost loop on its side, then 2, ...
    """

    state: Box
    start: tuple[float, float]
    end: tuple[float, float]
    is_above: bool
    lane: int


def loops_around(layout: Placement, ends: Sequence[tuple[int, int]], boxes: Sequence[Box]) -> list[StateLoop]:
    """Choose a side and a lane for each loop: the nearer side, and the inner lanes for the nearest boxes.

    Args:
        layout: Where the boxes are.
        ends: (box of the next value, box of the state) of each state.
        boxes: The boxes of the layout, in its order.
    """
    sides: dict[bool, list[tuple[float, int, int]]] = {True: [], False: []}
    for after, state in ends:
        height = _middle(layout, after)
        is_above = height + _middle(layout, state) < layout.size[1] and len(ends) > 1
        sides[is_above].append((height if is_above else -height, after, state))
    loops = []
    for is_above, found in sides.items():
        for lane, (_, after, state) in enumerate(sorted(found), start=1):
            left, _, width, _ = layout.boxes[after]
            start = (left + width, _middle(layout, after))
            end = (layout.boxes[state][0], _middle(layout, state))
            loops.append(StateLoop(boxes[state], start, end, is_above, lane))
    return loops


def room(loops: Sequence[StateLoop], *, above: bool) -> float:
    """The height that the loops need above or below the picture."""
    lanes = max((loop.lane for loop in loops if loop.is_above == above), default=0)
    return _FIRST + lanes * LANE if lanes else 0.0


def draw_loop(parent: Element, loop: StateLoop, size: tuple[float, float]) -> None:
    """Draw a loop around a layout of this size."""
    down = -_CORNER if loop.is_above else _CORNER
    level = -_FIRST - loop.lane * LANE if loop.is_above else size[1] + _FIRST + loop.lane * LANE
    out, back = size[0] + loop.lane * LANE, -loop.lane * LANE - 4
    group = SubElement(parent, "g", {"class": f"loop from{(loop.state.state or 0) % len(STATES)}"})
    name = loop.state.label
    group.set("data-state", name)
    SubElement(group, "title").text = f"{name} of the next step is {name}' of this one"
    route = f"M{number(loop.start[0])} {number(loop.start[1])}H{number(out - _CORNER)}"
    route += _corner(_CORNER, down) + f"V{number(level - down)}"
    route += _corner(-_CORNER, down, is_from_upright=True) + f"H{number(back + _CORNER)}"
    route += _corner(-_CORNER, -down) + f"V{number(loop.end[1] + down)}"
    route += _corner(_CORNER, -down, is_from_upright=True) + f"H{number(loop.end[0] - _ARROW + 1)}"
    path(group, route)
    arrow(group, *loop.end, _ARROW)


def _middle(layout: Placement, box: int) -> float:
    _, top, _, height = layout.boxes[box]
    return top + height / 2


def _corner(across: float, down: float, *, is_from_upright: bool = False) -> str:
    """A quarter of a round corner: from flat to upright, or the other way round."""
    bend = (0.0, down) if is_from_upright else (across, 0.0)
    return f"q{number(bend[0])} {number(bend[1])} {number(across)} {number(down)}"
