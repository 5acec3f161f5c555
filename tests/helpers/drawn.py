"""Reading pictures back: boxes, edges and routes from SVG."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from xml.etree import ElementTree as ET

SVG = "{http://www.w3.org/2000/svg}"
_STEP = re.compile(r"([MHCVq])([^MHCVq]*)")


@dataclass(frozen=True)
class DrawnEdge:
    source: str
    target: str
    kind: str
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Drawn:
    root: ET.Element
    boxes: dict[str, tuple[float, float, float, float]]
    nodes: dict[str, list[str]]
    edges: list[DrawnEdge]
    loops: list[str]
    words: list[str]


def read_picture(text: str) -> Drawn:
    root = ET.fromstring(text)  # noqa: S314 - made by the code under test
    boxes, nodes, edges = {}, {}, []
    for group in root.iter(f"{SVG}g"):
        kind = group.get("class", "")
        if kind == "node":
            rect = group.find(f"{SVG}rect")
            assert group.get("data-key") not in boxes
            boxes[group.get("data-key")] = tuple(float(rect.get(key)) for key in ("x", "y", "width", "height"))
            nodes[group.get("data-key")] = (group.get("data-nodes") or "").split()
        elif kind.startswith("edge") and group.get("data-source"):
            assert kind.split()[1] == group.get("data-kind")
            points = route(group.find(f"{SVG}path").get("d"))
            edges.append(
                DrawnEdge(group.get("data-source"), group.get("data-target"), group.get("data-kind"), points)
            )
    loops = [group.get("data-state") for group in root.iter(f"{SVG}g") if group.get("data-state")]
    words = [element.text or "" for element in root.iter(f"{SVG}text")]
    return Drawn(root, boxes, nodes, edges, loops, words)


def route(text: str) -> list[tuple[float, float]]:
    """Points along a path of flat lines and cubic curves."""
    points: list[tuple[float, float]] = []
    for command, rest in _STEP.findall(text):
        numbers = [float(part) for part in rest.split()]
        if command == "M":
            points.append((numbers[0], numbers[1]))
        elif command == "H":
            start, height = points[-1]
            points += [(start + (numbers[0] - start) * step / 8, height) for step in range(1, 9)]
        elif command == "C":
            ends = [points[-1], *zip(numbers[::2], numbers[1::2], strict=True)]
            points += [_on_curve(ends, step / 16) for step in range(1, 17)]
        else:
            raise AssertionError(f"an edge with {command}")
    return points


def _on_curve(ends, share: float) -> tuple[float, float]:
    while len(ends) > 1:
        ends = [(x0 + (x1 - x0) * share, y0 + (y1 - y0) * share) for (x0, y0), (x1, y1) in pairwise(ends)]
    return ends[0]


def overlaps(boxes) -> list[tuple[str, str]]:
    """Pairs of boxes that touch."""
    found = []
    items = list(boxes.items())
    for index, (name, (left, top, width, height)) in enumerate(items):
        for other, (left2, top2, width2, height2) in items[:index]:
            if left < left2 + width2 and left2 < left + width and top < top2 + height2 and top2 < top + height:
                found.append((other, name))
    return found


def boxes_crossed(edge: DrawnEdge, boxes) -> list[str]:
    """Boxes that an edge runs through, its own ends left out."""
    return [
        name
        for name, (left, top, width, height) in boxes.items()
        if name not in (edge.source, edge.target)
        and any(left < x < left + width and top < y < top + height for x, y in edge.points)
    ]
