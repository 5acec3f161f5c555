"""Names of the zero-cost scores; imports nothing heavy, as settings read it."""

from __future__ import annotations

from typing import Literal, TypeAlias

ScoreName: TypeAlias = Literal[
    "hidden-1",
    "hidden-2",
    "hidden-3",
    "jacobian-covariance",
    "jacobian-cosine",
    "gain",
    "saliency",
    "synflow",
    "parameters",
]
