"""Two trained models on the items of one test set.

This says something about the two models at hand and nothing about their cells: another training of each would
give two other models. As a test of cells it calls two equal ones different in more than a third of all cases.
"""

from __future__ import annotations

import numpy as np


def item_randomization(
    first: np.ndarray, second: np.ndarray, generator: np.random.Generator, draws: int = 2000
) -> float:
    """Two-sided p value for these two models: approximate randomization (Noreen 1989; Yeh 2000).

    Args:
        first: (items,) contributions of one model.
        second: (items,) of the other, on the same items.
        generator: Draws which items change sides.
        draws: Number of draws; the observed one counts too.
    """
    differences = first - second
    observed = abs(differences.sum())
    signs = generator.integers(0, 2, (draws, len(differences)), dtype=np.int8) * 2 - 1
    reached = np.abs(signs @ differences) >= observed * (1 - 1e-12)
    return float((reached.sum() + 1) / (draws + 1))
