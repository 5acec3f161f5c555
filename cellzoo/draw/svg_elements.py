"""The SVG elements that pictures use."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement


def number(value: float) -> str:
    """Write a coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def text(parent: Element, x: float, y: float, words: str, kind: str) -> Element:
    """Add a line of text; `y` is its base line."""
    element = SubElement(parent, "text", {"class": kind, "x": number(x), "y": number(y)})
    element.text = words
    return element


def path(parent: Element, route: str, kind: str = "") -> Element:
    """Add a path."""
    element = SubElement(parent, "path", {"d": route})
    if kind:
        element.set("class", kind)
    return element


def arrow(parent: Element, x: float, y: float, size: float) -> Element:
    """Add an arrowhead that points to the right, with its tip at (x, y)."""
    half = size * 0.55
    points = [(x - size, y - half), (x, y), (x - size, y + half)]
    written = " ".join(f"{number(across)},{number(down)}" for across, down in points)
    return SubElement(parent, "polygon", {"points": written})
