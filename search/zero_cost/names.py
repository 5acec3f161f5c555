"""Names of the zero-cost scores, apart from the scores because settings must not import torch."""

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
