"""Renders cells for people: pictures, diagrams, equations. Imports neither torch nor numpy."""

from __future__ import annotations

from cellzoo.draw.equations import equations, latex, symbols
from cellzoo.draw.figure import LEVELS
from cellzoo.draw.flowchart import mermaid
from cellzoo.draw.picture import svg

__all__ = ["LEVELS", "equations", "latex", "mermaid", "svg", "symbols"]
