"""The engine `auto`: picks the fastest applicable engine at every call."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from warnings import warn

import torch
from torch.autograd import forward_ad
from torch.jit import is_tracing  # type: ignore[attr-defined]
from torch.utils._python_dispatch import _get_current_dispatch_mode

from cellzoo.runtime import RUNTIMES, load_engine, prepare, prepare_plans
from cellzoo.runtime.autocast import autocast_dtype
from cellzoo.runtime.interface import Engine
from cellzoo.runtime.native.binding import PlanError, is_available
from cellzoo.runtime.once import variant_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from torch import Tensor

    from cellzoo.cells.cell import Cell
    from cellzoo.runtime.interface import PlanRuntime, Runtime
    from cellzoo.runtime.plan import Plans

# Subclasses of Tensor may hold no data, or intercept operations.
_PLAIN = (torch.Tensor, torch.nn.Parameter)
_NATIVE_DTYPES = (torch.float32, torch.float64)


def choose(device: torch.device, dtype: torch.dtype) -> str:
    """Name of the fastest engine for tensors of a device and dtype.

    While torch traces, compiles, exports, transforms or intercepts the call, or if the tensors hold no data,
    that is `reference`, the only engine that consists of plain torch operations.
    """
    if is_watched() or device.type == "meta":
        return "reference"
    if device.type != "cpu" or not is_available():
        return "torch"
    is_taken = dtype in _NATIVE_DTYPES or autocast_dtype(device) is not None
    return "native" if is_taken else "torch"


def is_watched() -> bool:
    """Whether torch traces, compiles, exports, transforms or intercepts operations at present."""
    return (
        torch.compiler.is_compiling()  # first, as the compiler evaluates it statically and skips the rest
        or torch._C._is_tracing()
        or _is_transformed()
        or torch._C._len_torch_dispatch_stack() > 0
    )


def choose_for(inputs: Tensor, others: Iterable[Tensor]) -> str:
    """Name of the fastest engine for a call on x and other tensors."""
    is_plain = type(inputs) in _PLAIN and all(type(tensor) in _PLAIN for tensor in others)
    return choose(inputs.device, inputs.dtype) if is_plain else "reference"


def holds_no_data(*tensors: Tensor) -> bool:
    """Whether control flow must not depend on the values of tensors.

    That is so while torch traces, exports, transforms or intercepts operations, and if the tensors hold no
    data.
    """
    if is_tracing() or torch.compiler.is_exporting():
        return True
    if torch.compiler.is_dynamo_compiling():  # there it is allowed, and breaks the graph
        return False
    return (
        _is_transformed()
        or _get_current_dispatch_mode() is not None
        or any(type(tensor) not in _PLAIN or tensor.device.type == "meta" for tensor in tensors)
    )


def _is_transformed() -> bool:
    """Whether a transform of torch.func (grad, vmap, ...) or forward-mode differentiation is active."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


class AutoRuntime:
    """Dispatches each call to the engine that `choose` names. See `cellzoo.runtime.Runtime` for the call."""

    def __init__(self, cell: Cell, prepare: Callable[[str, Cell], Runtime]) -> None:
        self._cell = cell
        self._prepare = prepare
        # Imported eagerly: a child forked while another thread imports one would deadlock on its import lock.
        for name in RUNTIMES:
            load_engine(name)
        is_available()
        # Prepared eagerly, as exported code must not change attributes.
        self._engines: dict[str, Runtime] = {"reference": prepare("reference", cell)}

    def __reduce__(self) -> tuple[type[AutoRuntime], tuple[Cell, Callable[[str, Cell], Runtime]]]:
        """Copies and unpickled objects prepare their own engines."""
        return AutoRuntime, (self._cell, self._prepare)

    def __call__(
        self,
        inputs: Tensor,
        batch_sizes: Sequence[int],
        states: Sequence[Tensor],
        weights: Mapping[str, Tensor],
        *,
        reverse: bool = False,
        mask_x: Tensor | None = None,
        mask_h: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the cell as `cellzoo.runtime.Runtime` says."""
        name = choose_for(inputs, (*states, *weights.values()))
        masks = {"mask_x": mask_x, "mask_h": mask_h}
        try:
            return self._engine(name)(inputs, batch_sizes, states, weights, reverse=reverse, **masks)
        except PlanError as error:
            warn(f"{error}; the engine 'torch' runs this call", RuntimeWarning, stacklevel=2)
            return self._engine("torch")(inputs, batch_sizes, states, weights, reverse=reverse, **masks)

    def _engine(self, name: str) -> Runtime:
        if name not in self._engines:
            self._engines[name] = self._prepare(name, self._cell)
        return self._engines[name]


class AutoPlans:
    """Dispatches each call to `native` if it applies, and else to `torch`. See `cellzoo.runtime.PlanRuntime`.

    `native` cannot normalise over a single row. So if a plan has norms, the steps at which only the longest
    sequence of a packed batch is left are run by `torch` in a second call.

    Args:
        precision: As in `cellzoo.runtime.prepare`.

    Attributes:
        ran: The engines of the last call, in the order of its steps.
    """

    def __init__(self, precision: str = "full") -> None:
        self._precision = precision
        self._engines: dict[str, PlanRuntime] = {}
        self.ran: tuple[str, ...] = ()

    def __call__(
        self,
        plans: Plans,
        inputs: Tensor,
        batch_sizes: Sequence[int],
        states: Sequence[Tensor],
        weights: Mapping[str, Tensor],
        *,
        reverse: bool = False,
        mask_x: Tensor | None = None,
        mask_h: Tensor | None = None,
        parameters: Tensor | None = None,
        norm_statistics: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run one of the plans."""
        steps, shared = len(batch_sizes), sum(rows > 1 for rows in batch_sizes)
        parts = {"torch": slice(0, steps)}
        if choose(inputs.device, inputs.dtype) == "native":
            learned = [*states, *weights.values(), parameters]
            has_norms = shared < steps and plans(variant_of("auto", inputs, learned, mask_x, mask_h)).norms
            parts = {"native": slice(0, shared), "torch": slice(shared, steps)}
            parts = parts if has_norms else {"native": slice(0, steps)}
        names = [name for name, part in parts.items() if part.start < part.stop]
        outputs: dict[str, Tensor] = {}
        ran: dict[str, str] = {}
        current = tuple(states)
        for name in reversed(names) if reverse else names:
            sizes, start = batch_sizes[parts[name]], sum(batch_sizes[: parts[name].start])
            rows = sizes[0]
            ran[name], (outputs[name], final) = self._run(
                name,
                plans,
                inputs[start : start + sum(sizes)],
                sizes,
                [state[:rows] for state in current],
                weights,
                reverse=reverse,
                mask_x=None if mask_x is None else mask_x[:rows],
                mask_h=None if mask_h is None else mask_h[:rows],
                parameters=parameters,
                norm_statistics=norm_statistics if rows > 1 else None,
            )
            current = tuple(
                torch.cat([after, before[rows:]]) if rows < before.size(0) else after
                for after, before in zip(final, current, strict=True)
            )
        self.ran = tuple(ran[name] for name in names)
        joined = [outputs[name] for name in names]
        return joined[0] if len(joined) == 1 else torch.cat(joined), current

    def _run(
        self, name: str, plans: Plans, *arguments: Any, **options: Any
    ) -> tuple[str, tuple[Tensor, tuple[Tensor, ...]]]:
        """Run by an engine, or by `torch` if it refuses the plan; returns also the name of the one that ran."""
        try:
            return name, self._engine(name)(plans, *arguments, **options)
        except PlanError as error:
            warn(f"{error}; the engine 'torch' runs this call", RuntimeWarning, stacklevel=2)
            return "torch", self._engine("torch")(plans, *arguments, **options)

    def _engine(self, name: str) -> PlanRuntime:
        if name not in self._engines:
            engine = prepare_plans(name, self._precision)
            assert engine is not None  # noqa: S101 - both engines run plans
            self._engines[name] = engine
        return self._engines[name]


ENGINE = Engine(
    lambda cell: AutoRuntime(cell, prepare),
    AutoPlans,
    lambda cell: AutoRuntime(cell, partial(prepare, precision="bf16")),
    partial(AutoPlans, "bf16"),
)
