"""Ranks random cells of a space by a zero-cost score."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from search.zero_cost.scores import zero_cost

if TYPE_CHECKING:
    import random

    from search.spaces.space import Space
    from search.zero_cost.names import ScoreName

_FRUITLESS = 200


def best_by_score(space: Space[Any], generator: random.Random, count: int, score: ScoreName) -> list[Any]:
    """Draw cells with different graphs and sort them by a score, highest first; those without a score are last.

    Args:
        space: Gives the cells.
        generator: Draws them.
        count: Number of cells; fewer are drawn if the space has no more.
        score: The score.
    """
    drawn: dict[str, tuple[float, Any]] = {}
    fruitless = 0
    while len(drawn) < count and fruitless < _FRUITLESS:
        genotype = space.sample(generator)
        cell = space.to_cell(genotype)
        fruitless = fruitless + 1 if cell.hash in drawn else 0
        if not fruitless:
            value = zero_cost(cell, [score])[score]
            drawn[cell.hash] = (-math.inf if value is None else value, genotype)
    return [genotype for _, genotype in sorted(drawn.values(), key=lambda pair: pair[0], reverse=True)]
