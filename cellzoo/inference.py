"""The fast path for inference on one step or one sequence, by the engine `native`.

It calls the library with minimal overhead in Python and torch. Overhead matters here: reading all weights
evicts from the caches what Python and torch use, so that the code around the products takes several times as
long as for large batches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor
from torch.nn.modules import module
from torch.nn.utils.rnn import PackedSequence

from cellzoo.cells.graph import HIDDEN_WIDTH
from cellzoo.direction import Direction
from cellzoo.runtime import engine_in_use
from cellzoo.runtime.auto import is_watched
from cellzoo.runtime.lowering import Lowering
from cellzoo.runtime.native.binding import PlanError, is_available
from cellzoo.runtime.native.call import DTYPES, PreparedPlan
from cellzoo.runtime.native.inference import PLAIN, NativePass
from cellzoo.runtime.plan import Variant, cell_plans

if TYPE_CHECKING:
    from torch.nn import Module

    from cellzoo.cells.cell import Cell

    States = Tensor | tuple[Tensor, ...]

_VARIANT = Variant(training=False, masked_x=False, masked_h=False, input_gradient=False)
_ENGINES = (None, "auto", "native")


class Stack(Protocol):
    """The attributes of `cellzoo.layer.CellRNN` that the fast path reads."""

    training: bool
    batch_first: bool
    dropout: float
    dropout_x: float
    dropout_h: float
    zoneout: dict[str, float]
    precision: str
    _modules: dict[str, Module | None]

    @property
    def num_directions(self) -> int:
        """1 or 2."""
        ...


class Inference:
    """Runs a stack of layers over one step or one sequence, if the fast path applies.

    Args:
        cell: The cell of the layers.
        input_size: E.
        hidden_size: H.
        runtime: The engine that the layers were built with.
    """

    def __init__(self, cell: Cell, input_size: int, hidden_size: int, runtime: str) -> None:
        self._arguments = (cell, input_size, hidden_size, runtime)
        self._is_possible = runtime in ("auto", "native") and is_available() and Lowering(cell).is_idle
        self._input_size, self._hidden_size = input_size, hidden_size
        self._widths = [hidden_size if state.width == HIDDEN_WIDTH else input_size for state in cell.states]
        # Prepared passes that are not in use, by the width of their input.
        self._idle: dict[int, list[NativePass]] = {}

    def __reduce__(self) -> tuple[type[Inference], tuple[Any, ...]]:
        """Copies and unpickled objects prepare their own passes."""
        return Inference, self._arguments

    def step(self, stack: Stack, x: Tensor, hx: States | None) -> tuple[Tensor, States] | None:
        """Run one step over x (B, E) or (E,); None if the fast path does not apply or arguments are invalid."""
        return self._run(stack, x, hx, 1, x.shape[:-1]) if self._applies(stack, x) else None

    def sequence(
        self, stack: Stack, given: Tensor | PackedSequence, hx: States | None
    ) -> tuple[Tensor | PackedSequence, States] | None:
        """Run one sequence, with arguments as in `CellRNN.forward`; None as in `step`."""
        x = given.data if isinstance(given, PackedSequence) else given
        if not self._applies(stack, x):
            return None
        shape = x.shape
        if isinstance(given, PackedSequence):
            if len(shape) != 2 or len(given.batch_sizes) != shape[0]:  # several sequences
                return None
            found = self._run(stack, x, hx, shape[0], (1,))
            return None if found is None else (PackedSequence(found[0], *given[1:]), found[1])
        if len(shape) == 2:
            return self._run(stack, x, hx, shape[0], ())
        if len(shape) != 3 or shape[0 if stack.batch_first else 1] != 1:
            return None
        return self._run(stack, x, hx, shape[0] * shape[1], (1,))

    def _applies(self, stack: Stack, x: Tensor) -> bool:
        """Whether the fast path applies, as far as that does not depend on the shape of the input."""
        if torch.is_grad_enabled() or is_watched() or not self._is_possible:
            return False
        draws = stack.training and (stack.dropout or stack.dropout_x or stack.dropout_h or stack.zoneout)
        return (
            not draws
            and stack.precision == "full"
            and _is_usable(x)
            and x.dtype in DTYPES
            and engine_in_use() in _ENGINES
            and not torch.is_autocast_enabled("cpu")
        )

    def _run(
        self, stack: Stack, x: Tensor, hx: States | None, steps: int, batch: tuple[int, ...]
    ) -> tuple[Tensor, States] | None:
        """Run `steps` steps. `batch` is (B,), or () for unbatched input; x has T * B rows in any shape."""
        shape = x.shape
        rows = batch[0] if batch else 1
        # Read from the dictionaries, as attribute access on modules takes longer than all of the following.
        directions = cast(
            "dict[str, Direction]", cast("Module", stack._modules["directions"])._modules
        ).values()
        shapes = [(len(directions), *batch, width) for width in self._widths]
        if shape[-1] != self._input_size or rows * steps == 0:
            return None
        initial = [0] * len(shapes)  # zeros
        if hx is not None:
            states = (hx,) if isinstance(hx, Tensor) else hx if isinstance(hx, tuple | list) else ()
            if [getattr(state, "shape", None) for state in states] != shapes:
                return None
            if not all(state.dtype == x.dtype and _is_usable(state) for state in states):
                return None
            initial = [state.data_ptr() for state in states]
        final = [x.new_empty(size) for size in shapes]
        after = [state.data_ptr() for state in final]
        bytes_of = [x.element_size() * rows * width for width in self._widths]
        outputs: list[Tensor] = []
        for number, direction in enumerate(directions):
            outputs.append(x.new_empty((*shape[:-1], self._hidden_size)))
            ends = [*initial, *after]
            if not self._run_direction(
                direction, x, outputs[-1], number % stack.num_directions, steps, rows, ends
            ):
                return None
            initial = [address and address + size for address, size in zip(initial, bytes_of, strict=True)]
            after = [address + size for address, size in zip(after, bytes_of, strict=True)]
            if len(outputs) == stack.num_directions:
                x = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
                outputs = []
        return x, final[0] if len(final) == 1 else tuple(final)

    def _run_direction(
        self, direction: Direction, x: Tensor, output: Tensor, way: int, steps: int, rows: int, ends: list[int]
    ) -> bool:
        own = direction._parameters
        names = tuple(own)
        # Wrappers, parametrisations and hooks of the module that owns the weights must be called.
        if type(direction) is not Direction or names != tuple(direction.keys.values()):
            return False
        if direction._forward_hooks or direction._forward_pre_hooks or "forward" in direction.__dict__:
            return False
        if module._global_forward_hooks or module._global_forward_pre_hooks:
            return False
        width = x.shape[-1]
        idle = self._idle.setdefault(width, [])
        try:
            try:
                native = idle.pop()
            except IndexError:  # none is left; no check first, as another thread may take the last one after it
                native = self._prepare(direction, width, x.dtype)
            if native.dtype != x.dtype:
                native = self._prepare(direction, width, x.dtype)
            is_done = native.run(x, output, steps, rows, way == 1, ends, own.values())
        except PlanError:
            return False
        idle.append(native)
        return is_done

    def _prepare(self, direction: Direction, width: int, dtype: torch.dtype) -> NativePass:
        cell, _, hidden_size, _ = self._arguments
        prepared = PreparedPlan(cell_plans(cell)(_VARIANT), input_size=width, hidden_size=hidden_size)
        return NativePass(prepared, tuple(direction.keys), dtype)


def _is_usable(tensor: Tensor) -> bool:
    """Whether the library can read a tensor's memory directly."""
    return (
        type(tensor) in PLAIN
        and tensor.is_cpu
        and tensor.is_contiguous()
        and not tensor.is_neg()
        and not tensor._is_zerotensor()
        and tensor.data_ptr() % tensor.element_size() == 0
    )
