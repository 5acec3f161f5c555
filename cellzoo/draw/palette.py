"""The colours of pictures and diagrams, for light and dark colour schemes."""

from __future__ import annotations

from typing import NamedTuple


class Colour(NamedTuple):
    """Fill and line, on light and on dark ground."""

    fill: str
    line: str
    dark_fill: str
    dark_line: str


_NEUTRAL = Colour("#eef1f5", "#55606e", "#222a34", "#8b97a6")
_SUM = Colour("#ffffff", "#55606e", "#12161c", "#b6c0cc")
_PRODUCT = Colour("#ffe3dc", "#cc4a2a", "#4f2015", "#ff8f70")
_CONSTANT = Colour("#fff6c9", "#947700", "#403708", "#d9bd3d")

OPERATIONS = {
    "linear": _NEUTRAL,
    "sigmoid": Colour("#ffe6c2", "#c0740c", "#4d3209", "#f0ab4b"),
    "tanh": Colour("#d9e8ff", "#2f6fd6", "#16305c", "#6ea4ff"),
    "relu": Colour("#d5f2d9", "#2b8a3e", "#123d1c", "#5ec976"),
    "leaky_relu": Colour("#cdf1ea", "#12837a", "#0b3d38", "#43c7b8"),
    "selu": Colour("#e3f3c4", "#5f7f0e", "#2c3b0a", "#a8cf4a"),
    "exp": Colour("#fbe0ff", "#9a35a8", "#421549", "#e08cf0"),
    "softplus": Colour("#dff5c8", "#4c8a12", "#24400c", "#93d652"),
    "sqrt": Colour("#e2e6ff", "#4450c4", "#1f2660", "#8f9bff"),
    "hard_sigmoid": Colour("#fff0d6", "#a8690a", "#453008", "#e3a94e"),
    "identity": Colour("#ececf1", "#7a7f8c", "#2c2f37", "#a0a6b3"),
    "recast": Colour("#ececf1", "#7a7f8c", "#2c2f37", "#a0a6b3"),
    "add": _SUM,
    "subtract": _SUM,
    "multiply": _PRODUCT,
    "divide": _PRODUCT,
    "minimum": Colour("#f3e6d6", "#8a5a20", "#3d2a12", "#d9a766"),
    "maximum": Colour("#f3e6d6", "#8a5a20", "#3d2a12", "#d9a766"),
    "average": Colour("#ffe0ea", "#c23a6b", "#4d1a30", "#f47fa8"),
    "blend": Colour("#eadcff", "#7c4dcc", "#34215a", "#b48dff"),
    "mean": Colour("#ffe0ea", "#c23a6b", "#4d1a30", "#f47fa8"),
    "vector": _CONSTANT,
    "scalar": _CONSTANT,
    "zero": _CONSTANT,
    "one": _CONSTANT,
    "constant": _CONSTANT,
}
OTHER_OPERATION = _NEUTRAL

INPUT = Colour("#cdeef6", "#0e7490", "#0b3a47", "#4cc4de")
STATES = (
    Colour("#ece7ff", "#6d3fd1", "#2d1f5c", "#ab8cff"),
    Colour("#ffe8de", "#b4451f", "#4a2313", "#ff9b75"),
    Colour("#fde3f3", "#a3246f", "#47163a", "#f58bc8"),
)
"""Repeated if there are more states."""
OUTPUT = _NEUTRAL

VALUE = Colour("none", "#667180", "none", "#8591a0")
GROUND = Colour("#ffffff", "#d5dbe3", "#12161c", "#323b47")
INK, DARK_INK = "#1d2430", "#e7ebf0"
QUIET, DARK_QUIET = "#5b6675", "#9aa6b5"


def state_colour(index: int) -> Colour:
    """The colour of the state with this index."""
    return STATES[index % len(STATES)]
