"""Measures of how far a search has converged: entropy, and deviation from the uniform distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor


def entropy(distributions: Sequence[Tensor]) -> float:
    """Mean entropy in nats.

    Args:
        distributions: Probabilities, each (K,); K may differ.
    """
    return sum(torch.special.entr(p.double()).sum().item() for p in distributions) / len(distributions)


def deviation(distributions: Sequence[Tensor]) -> float:
    """Mean absolute deviation from the uniform distribution, over all probabilities (ESS, figure 6).

    Li et al. 2020 plot it over the steps of a search: it is 0 at the start and grows as the search converges.

    Args:
        distributions: As in `entropy`.
    """
    apart = torch.cat([(p.double() - 1.0 / p.numel()).abs() for p in distributions])
    return apart.mean().item()


def beliefs(groups: Mapping[str, Sequence[Tensor]]) -> dict[str, float | dict[str, float]]:
    """Both measures over all groups together, and for each group if there are several."""
    together = [p for group in groups.values() for p in group]
    if not together:
        return {}
    measured: dict[str, float | dict[str, float]] = {
        "entropy": entropy(together),
        "deviation": deviation(together),
    }
    if len(groups) > 1:
        measured["entropy_by_group"] = {name: entropy(group) for name, group in groups.items()}
        measured["deviation_by_group"] = {name: deviation(group) for name, group in groups.items()}
    return measured
