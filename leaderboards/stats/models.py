"""Compares two trained models on the items of one test set.

The test is about these two models, not about their cells: other trainings would give other models. Used as a
test of cells, it finds a difference between two equal cells in more than a third of all cases.
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
        generator: Random number generator for the items that are swapped.
        draws: Number of random samples; the observed difference counts as one more.
    """
    differences = first - second
    observed = abs(differences.sum())
    signs = generator.integers(0, 2, (draws, len(differences)), dtype=np.int8) * 2 - 1
    reached = np.abs(signs @ differences) >= observed * (1 - 1e-12)
    return float((reached.sum() + 1) / (draws + 1))
