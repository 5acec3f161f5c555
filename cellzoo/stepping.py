"""One time step of a layer with as little around it as there can be, for streams: by the native engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cellzoo.cells.graph import HIDDEN_WIDTH
from cellzoo.runtime import engine_in_use
from cellzoo.runtime.auto import choose
from cellzoo.runtime.lowering import Lowering
from cellzoo.runtime.native.binding import is_available
from cellzoo.runtime.native.call import DTYPES, PreparedPlan
from cellzoo.runtime.native.step import NativeStep
from cellzoo.runtime.plan import Variant, cell_plans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellzoo.cells.cell import Cell
    from cellzoo.direction import Direction

_INFERENCE = Variant(training=False, masked_x=False, masked_h=False, input_gradient=False)
_PLAIN = (Tensor, torch.nn.Parameter)


class Steps:
    """Runs the layers of a stack for one step, where nothing but their results is asked for.

    Args:
        cell: What they run.
        input_size: E.
        hidden_size: H.
        runtime: The engine that they were built with.
    """

    def __init__(self, cell: Cell, input_size: int, hidden_size: int, runtime: str) -> None:
        self._arguments = (cell, input_size, hidden_size, runtime)
        self._runtime = runtime
        self._is_possible = is_available() and Lowering(cell).is_idle
        self._input_size, self._hidden_size = input_size, hidden_size
        self._widths = [hidden_size if state.width == HIDDEN_WIDTH else input_size for state in cell.states]
        # Prepared steps that nobody runs now, by what they are for.
        self._idle: dict[tuple[object, ...], list[NativeStep]] = {}

    def __reduce__(self) -> tuple[type[Steps], tuple[Any, ...]]:
        """Copies prepare their steps anew."""
        return Steps, self._arguments

    def __call__(
        self, directions: Sequence[Direction], x: Tensor, states: Sequence[Tensor] | None
    ) -> tuple[Tensor, list[Tensor]] | None:
        """Run a step, or give None where the layer has to do it.

        Args:
            directions: The layers.
            x: (B, E).
            states: (num_layers, B, H) each, delayed inputs (num_layers, B, E); None for zeros.

        Returns:
            The output (B, H) and the next states.
        """
        if not self._is_possible or torch.is_grad_enabled() or not self._is_usable(x, x.dtype):
            return None
        batch, size = x.size(0), x.element_size() * x.size(0)
        shapes = [(len(directions), batch, width) for width in self._widths]
        if (engine_in_use() or self._runtime) not in ("auto", "native") or choose(
            x.device, x.dtype
        ) != "native":
            return None
        if x.size(1) != self._input_size or batch == 0:
            return None
        if states is None:
            states = [x.new_zeros(shape) for shape in shapes]
        elif [state.shape for state in states] != shapes:
            return None
        if not all(self._is_usable(state, x.dtype) for state in states):
            return None
        initial = [state.data_ptr() for state in states]
        final = [torch.empty_like(state) for state in states]
        after = [state.data_ptr() for state in final]
        output = x
        for number, direction in enumerate(directions):
            found = self._weights(direction)
            if found is None:
                return None
            step, key = self._step(direction, number, batch, x.dtype)
            source, output = output, x.new_empty((batch, self._hidden_size))
            if not step.run(source.data_ptr(), output.data_ptr(), initial, after, found):
                return None
            self._idle[key].append(step)
            initial = [address + size * width for address, width in zip(initial, self._widths, strict=True)]
            after = [address + size * width for address, width in zip(after, self._widths, strict=True)]
        return output, final

    def _is_usable(self, tensor: Tensor, dtype: torch.dtype) -> bool:
        return (
            type(tensor) in _PLAIN
            and tensor.dtype == dtype
            and dtype in DTYPES
            and tensor.is_cpu
            and tensor.is_contiguous()
            and not tensor.is_neg()
            and not tensor._is_zerotensor()
            and tensor.data_ptr() % tensor.element_size() == 0
        )

    def _weights(self, direction: Direction) -> list[Tensor] | None:
        """The weights of a layer, or None where something stands around it that has to be asked for them."""
        own = direction._parameters
        if len(own) != len(direction.keys) or direction._forward_hooks or direction._forward_pre_hooks:
            return None
        found = [own[key] for key in direction.keys.values() if key in own]
        plain: list[Tensor] = [weight for weight in found if type(weight) in _PLAIN and weight is not None]
        return plain if len(plain) == len(own) else None

    def _step(
        self, direction: Direction, number: int, batch: int, dtype: torch.dtype
    ) -> tuple[NativeStep, tuple[object, ...]]:
        key = (number > 0, batch, dtype, torch.get_num_threads(), len(direction.keys))
        idle = self._idle.setdefault(key, [])
        if idle:
            return idle.pop(), key
        cell, input_size, hidden_size, _ = self._arguments
        plan = cell_plans(cell)(_INFERENCE)
        prepared = PreparedPlan(plan, input_size=hidden_size if number else input_size, hidden_size=hidden_size)
        return NativeStep(prepared, tuple(direction.keys), batch, dtype), key
