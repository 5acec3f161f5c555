"""How decided a search is, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cellzoo.system.resident import peak, start_peak

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor


def entropy(distributions: Sequence[Tensor]) -> float:
    """Mean entropy in nats.

    Args:
        distributions: Each (K,), not negative, sum 1; K may differ.
    """
    return sum(torch.special.entr(p.double()).sum().item() for p in distributions) / len(distributions)


def deviation(distributions: Sequence[Tensor]) -> float:
    """Mean absolute deviation from the uniform distribution, over all probabilities (ESS, figure 6).

    Li et al. 2020 plot it over the steps of a search: it is 0 at the start and grows as edges are decided.

    Args:
        distributions: As in `entropy`.
    """
    apart = torch.cat([(p.double() - 1.0 / p.numel()).abs() for p in distributions])
    return apart.mean().item()


def beliefs(groups: Mapping[str, Sequence[Tensor]]) -> dict[str, float | dict[str, float]]:
    """Both measures over all groups together, and by group where there are several."""
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


def start_peak_memory(device: torch.device) -> None:
    """Forget what was in use before, where that can be done: several searches may follow in one process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        start_peak()


def peak_memory(device: torch.device) -> int:
    """The most bytes that were in use since then: of the GPU's tensors, or of this process."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak()
