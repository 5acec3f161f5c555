"""The engine `auto`: at every call the fastest one that applies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.runtime.native.binding import is_available
from search.supernets.native import applies

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from search.supernets.engine import Engine
    from search.supernets.layout import Layout
    from search.supernets.normalisation import SharedStatistics


class AutoEngine:
    """Hands each call to `native` where that applies. See `search.supernets.engine.Engine` for the call."""

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
        is_fast = is_available() and applies(self._layout, inputs, batch_sizes, statistics)
        engine = self._native if is_fast else self._reference
        return engine(
            inputs,
            batch_sizes,
            states,
            weights,
            mixtures,
            statistics,
            reverse=reverse,
            mask_x=mask_x,
            mask_h=mask_h,
        )
