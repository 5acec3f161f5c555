"""The engine `auto`: at every call the fastest one that applies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cellzoo.runtime.native.binding import is_available
from search.supernets.native import applies

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from search.supernets.engine import Engine
    from search.supernets.layout import Layout
    from search.supernets.normalisation import SharedStatistics


class AutoEngine:
    """Hands each call to `native` where that applies. See `search.supernets.engine.Engine` for the call.

    The steps in which the longest sequence of a packed batch is alone are a call of their own, as a single row
    is normalised in another way.
    """

    def __init__(self, layout: Layout, prepare: Callable[[str, Layout], Engine]) -> None:
        self._layout = layout
        self._native = prepare("native", layout)
        self._reference = prepare("reference", layout)

    def __call__(
        self,
        inputs: Tensor,
        batch_sizes: Sequence[int],
        states: Sequence[Tensor],
        weights: Mapping[str, Tensor],
        mixtures: Mapping[str, Tensor],
        statistics: SharedStatistics | None,
        *,
        reverse: bool = False,
        mask_x: Tensor | None = None,
        mask_h: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the supernet as `Engine` says."""
        steps = len(batch_sizes)
        shared = sum(rows > 1 for rows in batch_sizes)
        parts = [slice(0, shared), slice(shared, steps)]
        if shared in (0, steps) or statistics is None or not statistics.is_by_batch:
            parts = [slice(0, steps)]
        outputs: dict[int, Tensor] = {}
        current = list(states)
        for part in reversed(parts) if reverse else parts:
            sizes = batch_sizes[part]
            start, rows = sum(batch_sizes[: part.start]), sizes[0]
            own = inputs[start : start + sum(sizes)]
            is_fast = is_available() and applies(self._layout, own, sizes, statistics)
            engine = self._native if is_fast else self._reference
            outputs[part.start], final = engine(
                own,
                sizes,
                [state[:rows] for state in current],
                weights,
                mixtures,
                statistics,
                reverse=reverse,
                mask_x=None if mask_x is None else mask_x[:rows],
                mask_h=None if mask_h is None else mask_h[:rows],
            )
            current = [
                torch.cat([after, before[rows:]]) if rows < before.size(0) else after
                for after, before in zip(final, current, strict=True)
            ]
        joined = outputs[0] if len(parts) == 1 else torch.cat([outputs[part.start] for part in parts])
        return joined, tuple(current)
