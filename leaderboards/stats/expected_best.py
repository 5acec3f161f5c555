"""The expected best score of n random configurations, estimated from N that were tried.

Dodge et al. 2019, "Show Your Work: Improved Reporting of Experimental Results" (arXiv 1909.03004), section 3:
with the values sorted, v_1 <= ... <= v_N, the best of n that are drawn with replacement is at most v_i with
probability (i/N)^n.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def expected_best(values: Sequence[float], *, higher_is_better: bool) -> list[float]:
    """The expected best of 1, 2, ..., N draws from N values.

    Args:
        values: (N,) scores of configurations that were drawn independently.
        higher_is_better: Whether the best is the largest.

    Returns:
        (N,): the first is the mean; the last is below the best value, as draws are with replacement.
    """
    sign = 1.0 if higher_is_better else -1.0
    ordered = np.sort(sign * np.asarray(values, dtype=float))  # (N,)
    count = len(ordered)
    share = np.arange(count + 1) / count  # (N + 1,)
    budgets = np.arange(1, count + 1)[:, None]  # (N, 1)
    chance = share[None, 1:] ** budgets - share[None, :-1] ** budgets  # (N, N)
    return [float(value) for value in sign * (chance @ ordered)]
